//! The container image of this program, made by itself: one layer with the binary and its other names, as the archive that
//! `docker load`, `kind load image-archive` and `ctr images import` read. The same binary gives the same bytes.

use std::io::{self, Write};

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Where the program is in the image.
const PROGRAM: &str = "wbk-fake-gpu";
/// Other names under which it is a workload.
const NAMES: [&str; 3] = ["bin/true", "bin/false", "bin/sleep"];

/// Writes the archive of an image that holds `program`, under the name `reference`.
///
/// # Errors
/// `out` cannot be written.
pub fn write(program: &[u8], reference: &str, out: impl Write) -> io::Result<()> {
    let layer = layer(program)?;
    let diff = hex(&layer);
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": [format!("/{PROGRAM}")],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
            "Labels": {"org.opencontainers.image.title": PROGRAM, "org.opencontainers.image.licenses": "Apache-2.0"},
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff}")]},
        "history": [{"created_by": format!("{PROGRAM} image")}],
    })
    .to_string();
    let config_name = format!("{}.json", hex(config.as_bytes()));
    let layer_name = format!("{diff}/layer.tar");
    let manifest = json!([{"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}]).to_string();
    let mut archive = tar::Builder::new(out);
    file(&mut archive, "manifest.json", 0o644, manifest.as_bytes())?;
    file(&mut archive, &config_name, 0o644, config.as_bytes())?;
    file(&mut archive, &layer_name, 0o644, &layer)?;
    archive.into_inner()?.flush()
}

fn layer(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    for (folder, mode) in [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777), ("usr/", 0o755), ("usr/bin/", 0o755)] {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        layer.append_data(&mut header, folder, io::empty())?;
    }
    file(&mut layer, "etc/passwd", 0o644, b"root:x:0:0:root:/:/none\nnobody:x:65534:65534:nobody:/:/none\n")?;
    file(&mut layer, "etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    file(&mut layer, PROGRAM, 0o755, program)?;
    for name in NAMES {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        layer.append_link(&mut header, name, format!("/{PROGRAM}"))?;
    }
    layer.into_inner()
}

fn file(archive: &mut tar::Builder<impl Write>, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(tar::EntryType::Regular, mode, bytes.len() as u64), path, bytes)
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Go's word for this processor, as images use it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn entries(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (path, bytes)
            })
            .collect()
    }

    #[test]
    fn the_archive_names_its_parts_by_their_digests_and_holds_the_program() {
        let mut bytes = Vec::new();
        write(b"\x7fELF", "localhost/x:1", &mut bytes).unwrap();
        let parts = entries(&bytes);
        let manifest: serde_json::Value = serde_json::from_slice(&parts["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["localhost/x:1"]));
        let layer = &parts[manifest[0]["Layers"][0].as_str().unwrap()];
        let config = &parts[manifest[0]["Config"].as_str().unwrap()];
        assert_eq!(manifest[0]["Config"], format!("{}.json", hex(config)));
        let config: serde_json::Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(layer)));
        assert_eq!(entries(layer)["wbk-fake-gpu"], b"\x7fELF");
        assert!(!entries(layer).contains_key("usr/bin/nvidia-smi"), "only an allocation gives a container that");

        let mut again = Vec::new();
        write(b"\x7fELF", "localhost/x:1", &mut again).unwrap();
        assert_eq!(bytes, again);
    }
}

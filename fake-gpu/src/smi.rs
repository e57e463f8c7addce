//! The fake `nvidia-smi`: tells a container of the devices that it was allocated, from an environment variable that only the
//! plugin sets. The forms are those that people and checks use: the table, `-L`, and `--query-gpu`.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::Model;

/// What the plugin leaves in a container's environment.
pub const VARIABLE: &str = "WBK_FAKE_GPU";
/// Where it is in a container.
pub const CONTAINER_PATH: &str = "/usr/bin/nvidia-smi";

/// Driver and CUDA versions that are pretended; the real ones have no such driver.
const DRIVER: &str = "580.00.00";
const CUDA: &str = "13.0";
/// What the real one exits with where there are no devices.
const NO_DEVICES: u8 = 6;

/// What a container was allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The node.
    pub node: String,
    /// The model of all of them.
    pub model: Model,
    /// GPU, slice of it where it is one, and id.
    pub devices: Vec<(u32, Option<u32>, String)>,
}

impl Shown {
    /// As the environment variable holds it.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("what is shown is plain data")
    }
}

/// What is printed, and the exit code. `environment` is the variable's value.
pub fn run(args: &[String], environment: Option<&str>) -> (String, u8) {
    let shown: Option<Shown> = environment.and_then(|text| serde_json::from_str(text).ok()); // Not ours: no devices.
    let Some(shown) = shown.filter(|shown| !shown.devices.is_empty()) else {
        return ("No devices were found\n".into(), NO_DEVICES);
    };
    let value = |name: &str| {
        args.iter().enumerate().find_map(|(index, arg)| match arg.strip_prefix(name)? {
            "" => args.get(index + 1).map(String::as_str),
            rest => rest.strip_prefix('='),
        })
    };
    if args.iter().any(|arg| arg == "-L" || arg == "--list-gpus") {
        return (list(&shown), 0);
    }
    if let Some(fields) = value("--query-gpu") {
        return query(&shown, fields, value("--format").unwrap_or("csv"));
    }
    if let Some(unknown) = args.iter().find(|arg| !["-q", "--query"].contains(&arg.as_str())) {
        return (format!("Invalid combination of input arguments: {unknown}. This nvidia-smi is fake.\n"), 2);
    }
    (table(&shown), 0)
}

/// One GPU, and then its slices.
fn list(shown: &Shown) -> String {
    let mut text = String::new();
    let mut last = None;
    for (place, (gpu, slice, id)) in shown.devices.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = match slice {
            None => writeln!(text, "GPU {place}: {} (UUID: {id})", shown.model.name),
            Some(slice) => {
                if last != Some(*gpu) {
                    let _ = writeln!(text, "GPU {gpu}: {}", shown.model.name);
                }
                writeln!(text, "  MIG device {slice}: (UUID: {id})")
            }
        };
        last = Some(*gpu);
    }
    text
}

fn query(shown: &Shown, fields: &str, format: &str) -> (String, u8) {
    let fields: Vec<&str> = fields.split(',').map(str::trim).collect();
    let unit = |text: &str| if format.contains("nounits") { String::new() } else { format!(" {text}") };
    let mut text = String::new();
    if !format.contains("noheader") {
        text.push_str(&fields.join(", "));
        text.push('\n');
    }
    for (place, (_, _, id)) in shown.devices.iter().enumerate() {
        let mut row = Vec::new();
        for field in &fields {
            row.push(match *field {
                "index" => place.to_string(),
                "count" => shown.devices.len().to_string(),
                "name" | "gpu_name" => shown.model.name.clone(),
                "uuid" | "gpu_uuid" => id.clone(),
                "driver_version" => DRIVER.into(),
                "memory.total" | "memory.free" => format!("{}{}", shown.model.memory_mib, unit("MiB")),
                "memory.used" => format!("0{}", unit("MiB")),
                "utilization.gpu" | "utilization.memory" => format!("0{}", unit("%")),
                "temperature.gpu" => "30".into(),
                unknown => {
                    return (format!("Field \"{unknown}\" is not a valid field to query.\n"), 2);
                }
            });
        }
        text.push_str(&row.join(", "));
        text.push('\n');
    }
    (text, 0)
}

fn table(shown: &Shown) -> String {
    let line = format!("+{}+\n", "-".repeat(77));
    let row = |text: String| format!("| {text:<75} |\n");
    let mut text = line.clone();
    text += &row(format!("NVIDIA-SMI {DRIVER} (fake)  Driver Version: {DRIVER}  CUDA Version: {CUDA}"));
    text += &row(format!("no GPU is behind this: wbk-fake-gpu on node {}", shown.node));
    text += &line;
    for (place, (gpu, slice, id)) in shown.devices.iter().enumerate() {
        let part = slice.map(|slice| format!(" MIG {slice}")).unwrap_or_default();
        text += &row(format!("{place:>3}  {:<36} {:>6}{part}", shown.model.name, format!("GPU {gpu}")));
        text += &row(format!("     {id:<42} 0MiB / {}MiB   0%", shown.model.memory_mib));
    }
    text + &line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> String {
        let devices = vec![(2, None, "GPU-a".into()), (5, None, "GPU-b".into())];
        Shown { node: "n".into(), model: Model::of("nvidia-l4", None), devices }.to_text()
    }

    fn ask(args: &[&str]) -> (String, u8) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        run(&args, Some(&shown()))
    }

    #[test]
    fn the_list_is_in_the_drivers_form() {
        assert_eq!(ask(&["-L"]), ("GPU 0: NVIDIA L4 (UUID: GPU-a)\nGPU 1: NVIDIA L4 (UUID: GPU-b)\n".into(), 0));
    }

    #[test]
    fn queries_answer_field_by_field() {
        let (text, code) = ask(&["--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]);
        assert_eq!((text.as_str(), code), ("0, GPU-a, 23034\n1, GPU-b, 23034\n", 0));
        assert_eq!(ask(&["--query-gpu", "name"]).0, "name\nNVIDIA L4\nNVIDIA L4\n");
        assert_eq!(ask(&["--query-gpu=nonsense"]).1, 2);
    }

    #[test]
    fn the_table_shows_every_device_and_that_it_is_fake() {
        let (text, _) = ask(&[]);
        assert!(text.contains("GPU-a") && text.contains("GPU-b") && text.contains("(fake)"), "{text}");
        let widths: std::collections::BTreeSet<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 1, "{text}");
    }

    #[test]
    fn slices_are_listed_below_their_gpu() {
        let devices = vec![(0, Some(1), "MIG-a".into()), (0, Some(2), "MIG-b".into())];
        let shown = Shown { node: "n".into(), model: Model::of("nvidia-a100-40gb", None), devices };
        let (text, _) = run(&["-L".into()], Some(&shown.to_text()));
        assert_eq!(
            text,
            "GPU 0: NVIDIA A100-SXM4-40GB\n  MIG device 1: (UUID: MIG-a)\n  MIG device 2: (UUID: MIG-b)\n"
        );
    }

    #[test]
    fn a_container_without_gpus_has_none() {
        assert_eq!(run(&["-L".into()], None), ("No devices were found\n".into(), 6));
        assert_eq!(run(&["-L".into()], Some("all")).1, 6);
    }
}

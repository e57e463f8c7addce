//! Node images by Kubernetes version, pinned by digest, and the kind that they were made for.

/// The kind that is built where none is installed. Newer ones read the same configuration (v1alpha4).
pub const KIND_VERSION: &str = "v0.33.0";

/// Source: `pkg/apis/config/defaults/image.go` of kind v0.33.0, which uses it where no image is named.
const IMAGES: &[(&str, &str)] =
    &[("1.37", "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5")];

/// The node image for a minor version.
pub fn image(version: &str) -> Option<&'static str> {
    IMAGES.iter().find(|(minor, _)| *minor == version).map(|(_, image)| *image)
}

/// The versions that have one.
pub fn versions() -> String {
    IMAGES.iter().map(|(minor, _)| *minor).collect::<Vec<_>>().join(", ")
}

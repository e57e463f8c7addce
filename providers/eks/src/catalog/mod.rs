//! What AWS sells and EKS runs, as dated data: machines with their GPUs, images, quotas, zones without EKS. Pure.

mod image;
mod machine;
mod quota;
mod registry;
mod words;

pub use image::{IMAGES, Image, ImageAccelerator, ImageSystem, WITHOUT_AMAZON_LINUX_2, ami, image_of};
pub use machine::{
    Arch, FIRST_CARD_WITHOUT_EFA, Machine, MachineGpu, Sale, allocatable, counts_of, machine, machines,
    machines_source, models, with_accelerator,
};
pub use quota::{Quota, quota};
pub use registry::registry;
pub use words::{ACCESS_POLICIES, ADDONS, ZONES_WITHOUT_EKS};

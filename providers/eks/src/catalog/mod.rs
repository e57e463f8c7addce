//! What AWS sells and EKS runs, as dated data: machines with their GPUs, images, quotas, zones without EKS. Pure.

mod image;
mod machine;
mod quota;
mod words;

pub use image::{IMAGES, Image, ImageAccelerator, ImageSystem, WITHOUT_AMAZON_LINUX_2, ami, image_of};
pub use machine::{
    Arch, Machine, MachineGpu, Sale, allocatable, counts_of, machine, machines, machines_source, models,
    with_accelerator,
};
pub use quota::{Quota, quota};
pub use words::{ACCESS_POLICIES, ADDONS, ZONES_WITHOUT_EKS};

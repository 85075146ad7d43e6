//! What needs another machine, emulated: `make test-vm`, `make test-vm-service`,
//! `make test-arm64`, `make test-armhf`. Without those, none of it runs.
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

#[path = "../support/mod.rs"]
mod support;

mod arm;
mod onlooker;
mod vm_alone;
mod vm_call;
mod vm_commands;
mod vm_controls;
mod vm_devices;
mod vm_hdmi;
mod vm_keep;
mod vm_libcamera;
mod vm_loopback;
mod vm_report;
mod vm_service;
mod vm_usb;

//! Tables of what a registrar does with each input.

mod lab;
mod registration;
mod resolution;
mod supervision;

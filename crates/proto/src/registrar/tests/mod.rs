//! Tables of what a registrar does with each input, and scopes of several registrars.

mod chaos;
mod lab;
mod net;
mod registration;
mod resolution;
mod scope;
mod supervision;

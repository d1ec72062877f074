//! Tables of what a registrar does with each input, and scopes of several registrars.

mod audit;
mod bounds;
mod chaos;
mod colleague;
mod congestion;
mod contest;
mod extreme;
mod handover;
mod hostile;
mod joining;
mod lab;
mod misbehaviour;
mod net;
mod patience;
mod presence;
mod quota;
mod reach;
mod registration;
mod reports;
mod resolution;
mod scope;
mod strangers;
mod subscription;
mod suggestion;
mod supervision;
mod takeover;

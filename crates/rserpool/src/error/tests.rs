use std::collections::BTreeMap;
use std::io;

use rserpool_transport as transport;
use rserpool_wire::registry::CauseCode;

use super::*;
use crate::server::Gone;
use crate::{server, session};

fn refused(error: transport::Error) -> TransportError {
    error.into()
}

fn bind(kind: io::ErrorKind) -> TransportError {
    let url = "tcp://127.0.0.1:80".parse().unwrap();
    refused(transport::Error::Bind { url, source: kind.into() })
}

/// Every error with its code: what is here once stays as it is.
fn all() -> Vec<(Error, &'static str)> {
    let causes = || vec![Cause::new(CauseCode::INVALID_VALUES)];
    let no_host = transport::Error::Resolve { host: "x".into(), source: io::Error::other("no") };
    let (octets, octets_max) = (2, 1);
    vec![
        (StartError::NoRuntime.into(), "no-runtime"),
        (StartError::NoRegistrarConfigured.into(), "no-registrar-configured"),
        (StartError::NothingToListenAt.into(), "nothing-to-listen-at"),
        (StartError::NoRandomness.into(), "no-randomness"),
        (StartError::NoThread("limit".into()).into(), "no-thread"),
        (StartError::Transport(bind(io::ErrorKind::AddrInUse)).into(), "address-in-use"),
        (StartError::Transport(bind(io::ErrorKind::AddrNotAvailable)).into(), "address-not-here"),
        (StartError::Transport(bind(io::ErrorKind::PermissionDenied)).into(), "not-permitted"),
        (StartError::Transport(bind(io::ErrorKind::OutOfMemory)).into(), "system"),
        (StartError::from(transport::Error::Limit(1)).into(), "too-many-associations"),
        (TableError::Transport(refused(no_host)).into(), "unknown-host"),
        (RegisterError::Rejected { causes: causes() }.into(), "rejected"),
        (
            RegisterError::RejectedByAll { causes: causes(), by: vec!["10.0.0.1:3863".into()] }
                .into(),
            "rejected-by-all",
        ),
        (RegisterError::Stopped.into(), "stopped"),
        (DeregisterError::Refused { causes: causes() }.into(), "deregistration-refused"),
        (DeregisterError::Stopped.into(), "stopped"),
        (ResolveError::UnknownPool.into(), "unknown-pool"),
        (ResolveError::NoRegistrar.into(), "no-registrar"),
        (ResolveError::Timeout.into(), "no-answer"),
        (ResolveError::Rejected(causes()).into(), "resolution-refused"),
        (ResolveError::TooManyRequests.into(), "too-many-requests"),
        (ResolveError::Stopped.into(), "stopped"),
        (SessionError::Resolve(ResolveError::UnknownPool).into(), "unknown-pool"),
        (SessionError::NoElement.into(), "no-element"),
        (SessionError::CannotDial(bind(io::ErrorKind::Other)).into(), "system"),
        (SessionError::NotSent { octets, reason: "long".into() }.into(), "not-sent"),
        (SessionError::NoRuntime.into(), "no-runtime"),
        (SessionError::Stopped.into(), "stopped"),
        (session::SendError::ServerLost.into(), "server-lost"),
        (session::SendError::TooLong { octets, octets_max }.into(), "too-long"),
        (session::SendError::Empty.into(), "empty"),
        (session::SendError::Ended.into(), "stopped"),
        (server::SendError::Gone(Gone).into(), "client-gone"),
        (server::SendError::Empty.into(), "empty"),
        (server::SendError::TooLong { octets, octets_max }.into(), "too-long"),
        (CookieError::Gone(Gone).into(), "client-gone"),
        (CookieError::NotSent(server::SendError::Empty).into(), "empty"),
        (CookieError::TooLong { octets, octets_max }.into(), "state-too-long"),
        (KeysError::Empty.into(), "no-key"),
        (KeysError::NoRandomness.into(), "no-randomness"),
        (KeysError::Stopped.into(), "stopped"),
        (TableError::NoRegistrar.into(), "no-registrar"),
        (TableError::NotEnrp.into(), "not-enrp"),
        (TableError::Refused.into(), "table-refused"),
        (TableError::NoRuntime.into(), "no-runtime"),
        (Stopped.into(), "stopped"),
        ("x".parse::<Address>().unwrap_err().into(), "bad-url"),
        ("x".parse::<rserpool_wire::param::Policy>().unwrap_err().into(), "bad-policy"),
        ("".parse::<rserpool_wire::param::PoolHandle>().unwrap_err().into(), "bad-handle"),
    ]
}

#[test]
fn codes_are_stable_words_with_dashes() {
    for (error, code) in all() {
        assert_eq!(error.code(), code, "{error:?}");
        assert!(code.bytes().all(|octet| octet == b'-' || octet.is_ascii_lowercase()), "{code}");
    }
}

#[test]
fn every_error_is_one_line_and_who_says_the_same_has_the_same_code() {
    let mut texts: BTreeMap<String, Error> = BTreeMap::new();
    for (error, _) in all() {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        assert_eq!(error, error.clone());
        if let Some(other) = texts.insert(text.clone(), error.clone()) {
            assert_eq!(error.code(), other.code(), "{text}");
        }
    }
}

#[test]
fn only_what_is_about_registrars_says_that_none_can_be_reached() {
    let none: Vec<_> = all().into_iter().filter(|(error, _)| error.is_no_registrar()).collect();
    let codes: Vec<_> = none.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, ["no-registrar", "no-answer", "no-registrar"]);
    assert!(SessionError::Resolve(ResolveError::Timeout).is_no_registrar());
}

#[test]
fn where_the_transport_is_to_blame_it_says_why() {
    let error = Error::from(StartError::Transport(bind(io::ErrorKind::AddrInUse)));
    let inside = error.transport().unwrap();
    assert_eq!(inside.kind(), TransportErrorKind::AddressInUse);
    assert_eq!(error.to_string(), "cannot listen on tcp://127.0.0.1:80: the port is in use");
    assert_eq!(Error::from(Stopped).transport(), None);
}

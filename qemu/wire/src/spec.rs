// SPDX-License-Identifier: GPL-2.0

//! The names of wires on the command line.

use std::path::PathBuf;
use std::str::FromStr;

/// `none`, `stream:connect:PATH`, `stream:listen:PATH` or `tap:IFNAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// A cable without a peer at the other end.
    None,
    /// A stream socket that a peer listens on.
    Connect(PathBuf),
    /// A stream socket that we listen on.
    Listen(PathBuf),
    /// A TAP interface of the host.
    Tap(String),
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once(':')
            .map(|(kind, rest)| (kind, rest.split_once(':').unwrap_or((rest, ""))));
        match parts {
            None if text == "none" => Ok(Spec::None),
            Some(("stream", ("connect", path))) if !path.is_empty() => Ok(Spec::Connect(path.into())),
            Some(("stream", ("listen", path))) if !path.is_empty() => Ok(Spec::Listen(path.into())),
            Some(("tap", (name, ""))) if !name.is_empty() && name.len() < 16 => Ok(Spec::Tap(name.to_owned())),
            _ => Err("expected none, stream:connect:PATH, stream:listen:PATH or tap:IFNAME (15 characters)".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!("none".parse(), Ok(Spec::None));
        assert_eq!(
            "stream:connect:/a:b".parse(),
            Ok(Spec::Connect("/a:b".into()))
        );
        assert_eq!("stream:listen:x".parse(), Ok(Spec::Listen("x".into())));
        assert_eq!("tap:tap0".parse(), Ok(Spec::Tap("tap0".to_owned())));
        for bad in [
            "",
            "nope",
            "stream",
            "stream:",
            "stream:connect",
            "stream:listen:",
            "tap:",
            "tap:a:b",
            "tap:0123456789abcdef",
        ] {
            assert!(bad.parse::<Spec>().is_err(), "{bad}");
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! The module's settings, as CONFIG_GET shows and CONFIG_SET changes them.

use nlcall_abi::{config, Command};
use zerocopy::IntoBytes;

use crate::{
    event::{Answer, Attributes},
    message::Message,
    socket::RawSocket,
};

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of one that is a number.
    Number(u32),
    /// Of `ACCESS`.
    Text(String),
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A CONFIG_SET of these settings.
pub fn message(family: u16, settings: &[(u16, Value)]) -> Message {
    let mut message = Message::new(family, Command::ConfigSet);
    for (kind, value) in settings {
        match value {
            Value::Number(number) => message.attribute(*kind, number.as_bytes()),
            Value::Text(text) => {
                message.attribute(*kind, [text.as_bytes(), b"\0"].concat().as_slice())
            }
        };
    }
    message
}

/// Asks for changes.
pub fn set(settings: &[(u16, Value)]) -> Answer {
    let mut socket = RawSocket::open();
    let message = message(socket.family(), settings);
    socket.request(message)
}

/// All settings.
pub fn all() -> Vec<(u16, Value)> {
    let attributes = attributes();
    (1..=config::MAX)
        .map(|kind| {
            let value = match kind {
                config::ACCESS => {
                    let bytes = attributes.value(kind).expect("the setting is shown");
                    let text = bytes.strip_suffix(b"\0").expect("the text ends with a NUL");
                    Value::Text(String::from_utf8(text.to_vec()).expect("text"))
                }
                _ => Value::Number(attributes.u32(kind).expect("the setting is shown")),
            };
            (kind, value)
        })
        .collect()
}

/// A setting that is a number.
pub fn number(kind: u16) -> u32 {
    attributes().u32(kind).expect("the setting is shown")
}

fn attributes() -> Attributes {
    let mut socket = RawSocket::open();
    let answer = socket.request(Message::new(socket.family(), Command::ConfigGet));
    assert_eq!(answer.errno, 0, "CONFIG_GET is answered: {answer:?}");
    let [attributes] = socket.replies() else {
        panic!("one reply: {:?}", socket.replies());
    };
    attributes.clone()
}

/// Settings that were changed. All are put back when this is dropped.
#[derive(Debug)]
pub struct Changed {
    before: Vec<(u16, Value)>,
}

impl Changed {
    /// Changes these.
    pub fn to(settings: &[(u16, Value)]) -> Self {
        let before = all();
        let answer = set(settings);
        assert_eq!(answer.errno, 0, "{answer:?}");
        Self { before }
    }

    /// Changes numbers.
    pub fn numbers<const N: usize>(settings: [(u16, u32); N]) -> Self {
        Self::to(&settings.map(|(kind, number)| (kind, number.into())))
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let answer = set(&self.before);
        // A test that failed says why by itself.
        if !std::thread::panicking() {
            assert_eq!(answer.errno, 0, "the settings are put back: {answer:?}");
        }
    }
}

//! STUN and TURN messages of a client that only asks (RFC 8489, RFC 8656).
//! Pure: bytes in, bytes out.

use std::net::SocketAddr;

use rtc::crypto::RTCCrypto;
use rtc::stun::attributes::{
    ATTR_ERROR_CODE, ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT,
    ATTR_USERNAME, ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS, RawAttribute,
};
use rtc::stun::error_code::ErrorCodeAttribute;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{
    BINDING_REQUEST, CLASS_ERROR_RESPONSE, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter,
    METHOD_ALLOCATE, METHOD_REFRESH, Message, MessageType, Method, Setter, TransactionId,
};
use rtc::stun::textattrs::TextAttribute;
use rtc::stun::xoraddr::XorMappedAddress;

/// Characters of a server's words that are shown.
pub(super) const MOST_WORDS: usize = 100;
/// UDP's protocol number, in the first of four bytes (RFC 8656 §18.7).
const UDP: [u8; 4] = [17, 0, 0, 0];

/// Who asks, and what the server has said so far: long-term credentials
/// (RFC 8489 §9.2).
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub username: String,
    pub password: String,
    pub realm: String,
    pub nonce: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The address under which the server saw us.
    Mapped(SocketAddr),
    /// The address at which it relays for us.
    Relayed(SocketAddr),
    /// It wants to know who asks.
    Login { realm: String, nonce: String },
    /// It refuses.
    Refused { code: u16, reason: String },
    /// Some other success.
    Done,
}

/// A request, ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub bytes: Vec<u8>,
    transaction: TransactionId,
}

impl Request {
    /// "Under which address do you see me?"
    pub(super) fn binding() -> Result<Self, String> {
        build(&[Box::new(BINDING_REQUEST)])
    }

    /// "Relay for me", first without, then with a login.
    pub(super) fn allocate(login: Option<(&Login, &dyn RTCCrypto)>) -> Result<Self, String> {
        let transport = RawAttribute {
            typ: ATTR_REQUESTED_TRANSPORT,
            length: UDP.len() as u16,
            value: UDP.to_vec(),
        };
        request(METHOD_ALLOCATE, transport, login)
    }

    /// "Relay no more."
    pub(super) fn give_back(login: &Login, crypto: &dyn RTCCrypto) -> Result<Self, String> {
        let lifetime = RawAttribute {
            typ: ATTR_LIFETIME,
            length: 4,
            value: vec![0; 4],
        };
        request(METHOD_REFRESH, lifetime, Some((login, crypto)))
    }

    /// What `bytes` say, where they answer this request.
    pub(super) fn answer(&self, bytes: &[u8]) -> Option<Answer> {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).ok()?;
        if message.transaction_id != self.transaction {
            return None;
        }
        let address = |attribute| {
            let mut address = XorMappedAddress::default();
            let found = address.get_from_as(&message, attribute);
            found
                .ok()
                .map(|()| SocketAddr::new(address.ip, address.port))
        };
        match message.typ.class {
            CLASS_SUCCESS_RESPONSE => Some(
                address(ATTR_XOR_RELAYED_ADDRESS)
                    .map(Answer::Relayed)
                    .or_else(|| address(ATTR_XORMAPPED_ADDRESS).map(Answer::Mapped))
                    .unwrap_or(Answer::Done),
            ),
            CLASS_ERROR_RESPONSE => Some(refusal(&message)),
            _ => None,
        }
    }
}

fn refusal(message: &Message) -> Answer {
    let text = |attribute| {
        let found = TextAttribute::get_from_as(message, attribute);
        found.ok().map(|a| a.text)
    };
    let mut error = ErrorCodeAttribute::default();
    let known = message.contains(ATTR_ERROR_CODE) && error.get_from(message).is_ok();
    let code = if known { error.code.0 } else { 0 };
    match (code, text(ATTR_REALM), text(ATTR_NONCE)) {
        // 401 asks for a login, 438 for the same with a fresh nonce.
        (401 | 438, Some(realm), Some(nonce)) => Answer::Login { realm, nonce },
        _ => Answer::Refused {
            code,
            reason: words(&error.reason),
        },
    }
}

/// A server's words, for people: not too long, and nothing that steers a
/// terminal.
fn words(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(reason).replace(char::is_control, " ");
    match text.char_indices().nth(MOST_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn request(
    method: Method,
    attribute: RawAttribute,
    login: Option<(&Login, &dyn RTCCrypto)>,
) -> Result<Request, String> {
    let mut parts: Vec<Box<dyn Setter + '_>> = vec![
        Box::new(MessageType::new(method, CLASS_REQUEST)),
        Box::new(attribute),
    ];
    if let Some((login, crypto)) = login {
        for (kind, text) in [
            (ATTR_USERNAME, &login.username),
            (ATTR_REALM, &login.realm),
            (ATTR_NONCE, &login.nonce),
        ] {
            parts.push(Box::new(TextAttribute::new(kind, text.clone())));
        }
        // It covers what stands before it, so it comes last.
        let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
            login.username.clone(),
            login.realm.clone(),
            login.password.clone(),
            crypto,
        );
        parts.push(Box::new(integrity.map_err(|e| e.to_string())?));
    }
    build(&parts)
}

fn build(parts: &[Box<dyn Setter + '_>]) -> Result<Request, String> {
    let mut message = Message::new();
    message.new_transaction_id().map_err(|e| e.to_string())?;
    let transaction = message.transaction_id;
    message.build(parts).map_err(|e| e.to_string())?;
    Ok(Request {
        bytes: message.raw.clone(),
        transaction,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::stun::error_code::ErrorCode;
    use rtc::stun::message::{BINDING_SUCCESS, MessageClass};

    fn answered(
        request: &Request,
        method: Method,
        class: MessageClass,
        parts: Vec<Box<dyn Setter>>,
    ) -> Vec<u8> {
        let mut message = Message::new();
        let mut all: Vec<Box<dyn Setter>> = vec![
            Box::new(request.transaction),
            Box::new(MessageType::new(method, class)),
        ];
        all.extend(parts);
        message.build(&all).expect("it can be built");
        message.raw
    }

    fn text(kind: rtc::stun::attributes::AttrType, text: &str) -> Box<dyn Setter> {
        Box::new(TextAttribute::new(kind, text.to_owned()))
    }

    #[test]
    fn a_binding_answer_gives_the_address_and_a_stranger_s_gives_nothing() {
        let request = Request::binding().expect("built");
        // RFC 8489 §5: type 1, the magic cookie.
        assert_eq!(request.bytes[..2], [0, 1]);
        assert_eq!(request.bytes[4..8], [0x21, 0x12, 0xa4, 0x42]);
        let address = XorMappedAddress {
            ip: "192.0.2.7".parse().expect("an address"),
            port: 4711,
        };
        let mut message = Message::new();
        message
            .build(&[
                Box::new(request.transaction) as Box<dyn Setter>,
                Box::new(BINDING_SUCCESS),
                Box::new(address),
            ])
            .expect("built");
        let seen = "192.0.2.7:4711".parse().expect("an address");
        assert_eq!(request.answer(&message.raw), Some(Answer::Mapped(seen)));
        let other = Request::binding().expect("built");
        assert_eq!(other.answer(&message.raw), None);
        assert_eq!(request.answer(b"not STUN at all"), None);
    }

    #[test]
    fn a_server_that_asks_who_we_are_is_told_apart_from_one_that_refuses() {
        let request = Request::allocate(None).expect("built");
        let ask = answered(
            &request,
            METHOD_ALLOCATE,
            CLASS_ERROR_RESPONSE,
            vec![
                Box::new(ErrorCode(401)),
                text(ATTR_REALM, "lab"),
                text(ATTR_NONCE, "abc"),
            ],
        );
        assert_eq!(
            request.answer(&ask),
            Some(Answer::Login {
                realm: "lab".into(),
                nonce: "abc".into()
            })
        );
        let refuse = answered(
            &request,
            METHOD_ALLOCATE,
            CLASS_ERROR_RESPONSE,
            vec![Box::new(ErrorCode(486))],
        );
        let answer = request.answer(&refuse);
        assert!(
            matches!(&answer, Some(Answer::Refused { code: 486, .. })),
            "{answer:?}"
        );
    }
}

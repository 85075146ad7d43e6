//! The text of `access.toml`: what the owner has decided, read and written.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::guest::{Invitation, MOST_GIVEN, MOST_INVITATIONS, May, Stage};
use super::invite::{Key, KeyId};
use crate::wire::UserName;

/// Longest text that is read, in bytes.
pub(crate) const LONGEST: usize = 512 * 1024;

const HEAD: &str = "\
# Who was invited to this camera. Written by `camera-agent invite` and `revoke`,
# and by the camera itself; the keys in it are as good as the links were.
";

/// What is wrong with a text, in one line without any of its keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Longer than [`LONGEST`].
    #[error("it has {0} bytes, the limit is {LONGEST}")]
    TooLong(usize),
    /// Not TOML of this shape.
    #[error("line {0}: it is not as it was written")]
    Syntax(usize),
    /// An invitation with this number, from 1, makes no sense.
    #[error("invitation {0}: {1}")]
    Invitation(usize, String),
    /// There are too many.
    #[error("there are more than {MOST_INVITATIONS} invitations")]
    TooMany,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    invitation: Vec<Written>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    label: String,
    may: String,
    made: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    stage: String,
    key: String,
    /// Keys that wait for an acknowledgement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given: Vec<String>,
}

/// Reads a text: no two have a label or a key's name in common.
///
/// # Errors
///
/// It is damaged; nothing of it is to be used.
pub(crate) fn read(text: &str) -> Result<Vec<Invitation>, StoreError> {
    if text.len() > LONGEST {
        return Err(StoreError::TooLong(text.len()));
    }
    // The library's words may repeat what stands there.
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let breaks = text.as_bytes()[..start].iter().filter(|b| **b == b'\n');
        StoreError::Syntax(breaks.count() + 1)
    })?;
    if file.invitation.len() > MOST_INVITATIONS {
        return Err(StoreError::TooMany);
    }
    let (mut labels, mut ids) = (HashSet::new(), HashSet::new());
    let mut invitations = Vec::with_capacity(file.invitation.len());
    for (at, written) in file.invitation.iter().enumerate() {
        let bad = |problem: String| StoreError::Invitation(at + 1, problem);
        let invitation = invitation(written).map_err(bad)?;
        let keys = std::iter::once(&invitation.key).chain(&invitation.given);
        if !labels.insert(invitation.label.clone()) {
            return Err(bad("its label stands there twice".to_owned()));
        }
        for (id, _) in keys {
            if !ids.insert(*id) {
                return Err(bad("its key stands there twice".to_owned()));
            }
        }
        invitations.push(invitation);
    }
    Ok(invitations)
}

fn invitation(written: &Written) -> Result<Invitation, String> {
    let stage = Stage::ALL.into_iter().find(|s| s.word() == written.stage);
    let stage = stage.ok_or("its stage is none of link, kept, shared")?;
    if written.given.len() > MOST_GIVEN || (stage != Stage::Link && !written.given.is_empty()) {
        return Err("it has keys that it cannot have".to_owned());
    }
    let given = written.given.iter().map(|text| key(text));
    Ok(Invitation {
        label: UserName::parse(&written.label)?,
        may: May::parse(&written.may)?,
        made: written.made,
        until: written.until,
        stage,
        key: key(&written.key)?,
        given: given.collect::<Result<_, _>>()?,
    })
}

/// A key's name, a dot, and the key.
fn key(text: &str) -> Result<(KeyId, Key), String> {
    let read = || {
        let (id, key) = text.split_once('.')?;
        Some((id.parse().ok()?, Key::parse(key)?))
    };
    read().ok_or_else(|| "its key is damaged".to_owned())
}

fn key_text((id, key): &(KeyId, Key)) -> String {
    format!("{id}.{}", key.expose())
}

/// Writes a text that [`read`] reads as the same.
pub(crate) fn write(invitations: &[Invitation]) -> String {
    let mut text = HEAD.to_owned();
    for invitation in invitations {
        let written = Written {
            label: invitation.label.as_str().to_owned(),
            may: invitation.may.to_string(),
            made: invitation.made,
            until: invitation.until,
            stage: invitation.stage.word().to_owned(),
            key: key_text(&invitation.key),
            given: invitation.given.iter().map(key_text).collect(),
        };
        let table = toml::to_string(&written).expect("texts and numbers can be written");
        let _ = write!(text, "\n[[invitation]]\n{table}");
    }
    text
}

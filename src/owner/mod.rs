//! What the owner says who may watch: `camera-agent invite`, `viewers` and
//! `revoke`, beside a camera that runs, or without one.

mod qr;

use std::io::{self, IsTerminal as _, Write};
use std::time::SystemTime;

use serde_json::json;
use url::Url;

use crate::access::{self, Invitation, Link, MOST_INVITATIONS, Stage};
use crate::cli;
use crate::config::{Config, ConfigError};
use crate::guestbook::{Book, BookError, seconds, time, watching};
use crate::peer::Identity;
use crate::wire::UserName;

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The list.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

fn refused(words: impl Into<String>) -> BookError {
    BookError::Refused(words.into())
}

/// Invites somebody, and prints what they are to be given, once.
///
/// # Errors
///
/// They were not invited.
pub fn invite(arguments: &cli::Invite, out: &mut dyn Write) -> Result<(), OwnerError> {
    let config = arguments.of.configuration()?;
    let book = Book::of(&config)?;
    let now = seconds(SystemTime::now());
    let label =
        UserName::parse(&arguments.label).map_err(|p| refused(format!("the label: {p}")))?;
    let until = match &arguments.until {
        Some(text) => Some(time::until(text, now).map_err(refused)?),
        None => None,
    };
    let invite = access::Invite::random();
    let invitation = Invitation {
        label,
        may: arguments.may,
        made: now,
        until,
        stage: match arguments.shared {
            true => Stage::Shared,
            false => Stage::Link,
        },
        key: (invite.id(), invite.key()),
        given: Vec::new(),
    };
    let link = Link {
        page: page(&config)?,
        camera: config.server.name.clone(),
        invite,
    };
    let text = link.text();
    let code = qr::Qr::of(&text);
    book.change(|list| {
        if list.iter().any(|i| i.label == invitation.label) {
            let label = &invitation.label;
            return Err(refused(format!(
                "{label} was invited already: take another label, or take that back first \
                 (camera-agent revoke {label:?})",
                label = label.to_string(),
            )));
        }
        if list.len() >= MOST_INVITATIONS {
            return Err(refused(format!(
                "{MOST_INVITATIONS} invitations are as many as there can be; take some back"
            )));
        }
        if let Some(path) = &arguments.png {
            code.write_png(path)
                .map_err(|error| refused(format!("cannot write {}: {error}", path.display())))?;
        }
        list.push(invitation.clone());
        Ok(())
    })?;
    writeln!(out, "{}\n\n{text}\n", words(&invitation))?;
    writeln!(out, "{}", code.text(io::stdout().is_terminal()))?;
    writeln!(out, "Code to type: {}", link.invite.code())?;
    if let Some((_, Ok(identity))) = Identity::kept() {
        writeln!(
            out,
            "The camera's certificate: sha-256 {}",
            identity.fingerprint()
        )?;
    }
    writeln!(
        out,
        "\nWhoever has the link or the code is invited. Neither is shown again."
    )?;
    for hint in hints(&config) {
        writeln!(out, "{hint}")?;
    }
    Ok(())
}

/// What an invitation is, in a sentence.
fn words(invitation: &Invitation) -> String {
    let may: Vec<_> = invitation.may.words().collect();
    let how = match invitation.stage {
        Stage::Shared => "everybody who has this link",
        Stage::Link | Stage::Kept => "the first browser that opens this link",
    };
    let until = match invitation.until {
        Some(until) => format!(", until {}", time::shown(until)),
        None => String::new(),
    };
    format!("{} may {}: {how}{until}.", invitation.label, may.join(", "))
}

/// Where the page is, for a link to begin with.
fn page(config: &Config) -> Result<String, ConfigError> {
    let bad = |problem: String| ConfigError::Value {
        key: "access.page",
        problem,
    };
    if let Some(page) = &config.access.page {
        let page = Url::parse(page).map_err(|e| bad(e.to_string()))?;
        return Ok(page.into());
    }
    config.server.address()?;
    let mut page = Url::parse(&config.server.url)
        .map_err(|_| bad("say where the page is, for links to begin with".to_owned()))?;
    let scheme = match page.scheme() {
        "wss" => "https",
        _ => "http",
    };
    page.set_scheme(scheme)
        .map_err(|()| bad("say where the page is, for links to begin with".to_owned()))?;
    page.set_fragment(None);
    page.set_query(None);
    Ok(page.into())
}

/// What the owner may not have thought of.
fn hints(config: &Config) -> Vec<&'static str> {
    let mut hints = Vec::new();
    if !config.access.is_invited() {
        hints.push(
            "This camera is open: everybody who reaches the chat server sees it. Set access.mode = \
             \"invited\" in its configuration, and reload it.",
        );
    }
    let page = page(config).ok().and_then(|page| Url::parse(&page).ok());
    let is_here = page.is_some_and(|page| match page.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        None => true,
    });
    if is_here {
        hints.push(
            "The link opens on this machine alone: name an address by which others reach the page in \
             access.page, and invite them then.",
        );
    }
    hints
}

/// Prints who was invited, and who watches.
///
/// # Errors
///
/// The list cannot be read.
pub fn viewers(arguments: &cli::Viewers, out: &mut dyn Write) -> Result<(), OwnerError> {
    let config = arguments.of.configuration()?;
    let book = Book::of(&config)?;
    let list = book.read()?;
    let people = watching::look(book.folder());
    let now = seconds(SystemTime::now());
    let rows = list.iter().map(|invitation| {
        let seen = people.get(invitation.label.as_str()).copied();
        // Of somebody who was invited before under the same label.
        let seen = seen.filter(|seen| seen.last >= invitation.made);
        (invitation, seen.unwrap_or_default())
    });
    if arguments.json {
        let rows: Vec<_> = rows
            .map(|(invitation, seen)| {
                json!({
                    "label": invitation.label.as_str(),
                    "may": invitation.may.words().collect::<Vec<_>>(),
                    "made": time::rfc3339(invitation.made),
                    "until": invitation.until.map(time::rfc3339),
                    "ended": invitation.until.is_some_and(|until| until <= now),
                    "stage": invitation.stage.word(),
                    "invitation": invitation.key.0.to_string(),
                    "last_seen": (seen.last > 0).then(|| time::rfc3339(seen.last)),
                    "watching": seen.now,
                })
            })
            .collect();
        writeln!(out, "{:#}", json!(rows))?;
        return Ok(());
    }
    let mut table = vec![["label", "may", "made", "last seen", ""].map(str::to_owned)];
    for (invitation, seen) in rows {
        let last = match seen {
            watching::Seen { now: 1, .. } => "watches now".to_owned(),
            watching::Seen { now: n @ 2.., .. } => format!("watches now, {n} times"),
            watching::Seen { last: 0, .. } => "never".to_owned(),
            watching::Seen { last, .. } => time::shown(last),
        };
        let state = match (invitation.until, invitation.stage) {
            (Some(until), _) if until <= now => "has ended".to_owned(),
            (until, stage) => {
                let stage = match stage {
                    Stage::Link => "the link was not opened yet",
                    Stage::Kept => "one browser",
                    Stage::Shared => "whoever has the link",
                };
                let until = until.map(|until| format!(", until {}", time::shown(until)));
                format!("{stage}{}", until.unwrap_or_default())
            }
        };
        table.push([
            invitation.label.to_string(),
            invitation.may.to_string(),
            time::shown(invitation.made),
            last,
            state,
        ]);
    }
    if table.len() == 1 {
        writeln!(
            out,
            "nobody was invited; \"camera-agent invite LABEL\" makes a link"
        )?;
        return Ok(());
    }
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let width = table.iter().map(|row| row[column].chars().count()).max();
        width.unwrap_or_default()
    });
    for row in table {
        let cells = row.iter().zip(widths).map(|(text, width)| {
            let pad = width.saturating_sub(text.chars().count());
            format!("{text}{}", " ".repeat(pad))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Takes an invitation back.
///
/// # Errors
///
/// It stands as before.
pub fn revoke(arguments: &cli::Revoke, out: &mut dyn Write) -> Result<(), OwnerError> {
    let config = arguments.of.configuration()?;
    let book = Book::of(&config)?;
    book.change(|list| {
        let before = list.len();
        list.retain(|i| i.label.as_str() != arguments.label);
        if list.len() < before {
            return Ok(());
        }
        let labels: Vec<_> = list.iter().map(|i| i.label.to_string()).collect();
        Err(refused(match labels.is_empty() {
            true => "nobody was invited".to_owned(),
            false => format!(
                "nobody was invited as {:?}; there are {}",
                arguments.label.chars().take(80).collect::<String>(),
                labels.join(", ")
            ),
        }))
    })?;
    let label: String = arguments
        .label
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    writeln!(
        out,
        "{label} is invited no longer; a camera that runs ends calls of theirs within a second"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;

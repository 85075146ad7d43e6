//! What the owner says who may watch: `camera-agent invite`, `viewers` and
//! `revoke`, beside a camera that runs, or without one.

pub(crate) mod chat_users;
mod privacy;
mod qr;
mod visit;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;
use url::Url;

use crate::access::{self, Invitation, Link, MOST_INVITATIONS, May, Right, Stage};
use crate::cli;
use crate::config::{Config, ConfigError};
use crate::guestbook::{Book, BookError, seconds, time, watching};
use crate::peer::Identity;
use crate::state;
use crate::wire::UserName;
pub(crate) use privacy::privacy;
pub(crate) use visit::Visit;

/// What the owner is called in their own list.
const OWNER: &str = "owner";

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnerError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The list.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Privacy.
    #[error("privacy cannot be switched in {folder}: {error}")]
    Privacy {
        /// The state folder.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Standard output.
    #[error("cannot write to standard output")]
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
pub(crate) fn invite(arguments: &cli::Invite, out: &mut dyn Write) -> Result<(), OwnerError> {
    let (config, service) = arguments.of.configuration()?;
    let book = Book::of(&config, service.clone())?;
    let now = seconds(SystemTime::now());
    let label =
        UserName::parse(&arguments.label).map_err(|p| refused(format!("the label: {p}")))?;
    let until = match &arguments.until {
        Some(text) => Some(time::until(text, now).map_err(refused)?),
        None => None,
    };
    let stage = match arguments.shared {
        true => Stage::Shared,
        false => Stage::Link,
    };
    if !arguments.may.has(Right::Watch) {
        return Err(refused(
            "an invitation without \"watch\" opens no call, and so nothing else: add it, as in \
             --may watch,listen",
        )
        .into());
    }
    let paper = Paper::new(&config, label, arguments.may, until, stage)?;
    paper.hand_over(&config, &book, service, arguments.png.as_deref(), out)
}

/// The first invitation, for the owner, to everything: where nobody was invited
/// yet.
///
/// # Errors
///
/// The list cannot be used.
pub(crate) fn invite_owner(
    config: &Config,
    service: Option<PathBuf>,
    out: &mut dyn Write,
) -> Result<bool, OwnerError> {
    let book = Book::of(config, service.clone())?;
    if !config.access.is_invited() || !book.read()?.is_empty() {
        return Ok(false);
    }
    let label = UserName::parse(OWNER).map_err(refused)?;
    let paper = Paper::new(config, label, May::everything(), None, Stage::Link)?;
    paper.hand_over(config, &book, service, None, out)?;
    Ok(true)
}

/// An invitation with what is handed to somebody for it.
struct Paper {
    invitation: Invitation,
    link: Link,
    code: qr::Qr,
}

impl Paper {
    fn new(
        config: &Config,
        label: UserName,
        may: May,
        until: Option<u64>,
        stage: Stage,
    ) -> Result<Self, OwnerError> {
        let invite = access::Invite::random();
        let invitation = Invitation {
            label,
            may,
            made: seconds(SystemTime::now()),
            until,
            stage,
            key: (invite.id(), invite.key()),
            given: Vec::new(),
        };
        let link = Link {
            page: page(config)?,
            camera: config.server.name.clone(),
            invite,
        };
        Ok(Self {
            code: qr::Qr::of(&link.text()),
            invitation,
            link,
        })
    }

    /// Writes it into the list and prints it. What nobody was shown does not stay.
    fn hand_over(
        &self,
        config: &Config,
        book: &Book,
        service: Option<PathBuf>,
        picture: Option<&Path>,
        out: &mut dyn Write,
    ) -> Result<(), OwnerError> {
        self.enter(book, picture)?;
        let printed = self.print(service, out).and_then(|()| {
            for hint in hints(config) {
                writeln!(out, "{hint}")?;
            }
            out.flush()
        });
        if printed.is_err() {
            let id = self.invitation.key.0;
            book.change(|list| {
                list.retain(|invitation| invitation.key.0 != id);
                Ok(())
            })?;
        }
        Ok(printed?)
    }

    /// Writes it into the list, and the picture beside it.
    fn enter(&self, book: &Book, picture: Option<&Path>) -> Result<(), BookError> {
        book.change(|list| {
            let label = &self.invitation.label;
            if list.iter().any(|i| i.label == *label) {
                return Err(refused(format!(
                    "{label} was invited already: take another label, or take that back first \
                     (camera-agent revoke {:?})",
                    label.to_string(),
                )));
            }
            if list.len() >= MOST_INVITATIONS {
                return Err(refused(format!(
                    "{MOST_INVITATIONS} invitations are as many as there can be; take some back"
                )));
            }
            if let Some(path) = picture {
                let failed = |e| refused(format!("cannot write {}: {e}", path.display()));
                self.code.write_png(path).map_err(failed)?;
            }
            list.push(self.invitation.clone());
            Ok(())
        })
    }

    /// `service` is the service's state folder, where the camera is one.
    fn print(&self, service: Option<PathBuf>, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\n\n{}\n", words(&self.invitation), self.link.text())?;
        writeln!(out, "{}", self.code.text(io::stdout().is_terminal()))?;
        writeln!(out, "Code to type: {}", self.link.invite.code())?;
        let folder = service.or_else(state::folder);
        // One on this machine may be another camera's.
        if let Some((path, Ok(identity))) = Identity::kept()
            && path.parent() == folder.as_deref()
        {
            let fingerprint = identity.fingerprint();
            writeln!(out, "The camera's certificate: sha-256 {fingerprint}")?;
        }
        writeln!(
            out,
            "\nWhoever has the link or the code is invited. Neither is shown again."
        )
    }
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
pub(crate) fn viewers(arguments: &cli::Viewers, out: &mut dyn Write) -> Result<(), OwnerError> {
    let (config, service) = arguments.of.configuration()?;
    let book = Book::of(&config, service)?;
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
pub(crate) fn revoke(arguments: &cli::Revoke, out: &mut dyn Write) -> Result<(), OwnerError> {
    let (config, service) = arguments.of.configuration()?;
    let book = Book::of(&config, service)?;
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

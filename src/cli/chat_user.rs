//! `camera-agent chat-user`: who may sign in to a chat server.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::chat;
use crate::chat::UsersFile;
use crate::state;

/// `camera-agent chat-user`
#[derive(Debug, Args)]
pub struct ChatUser {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
    /// The users file, as `camera-agent chat --users-file` has it [default: that of
    /// this board's chat server].
    #[arg(long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
}

/// What there is to do with users.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Gives somebody a password, or another one. It is asked for twice on a
    /// terminal, else it is the first line of standard input.
    Add {
        /// Whom: 1 to 64 bytes, without a colon.
        name: String,
    },
    /// Makes a token, for a device or a program, and prints it once. It is good
    /// in place of the password, too, and no guessing of others slows it.
    Token {
        /// For whom; they need not be there.
        name: String,
    },
    /// Takes somebody away. A server that runs signs them out within a second.
    Remove {
        /// Whom.
        name: String,
        /// Take away their tokens alone.
        #[arg(long)]
        tokens: bool,
    },
    /// Lists who may sign in, and with what.
    List,
}

impl ChatUser {
    /// The file that is meant.
    pub fn users(&self) -> UsersFile {
        UsersFile::new(self.path(Path::new(chat::SERVICE)))
    }

    fn path(&self, service: &Path) -> PathBuf {
        let of_service = || chat::Settings::load(service).ok()?.users_file;
        let told = self.file.clone().or_else(of_service);
        told.unwrap_or_else(|| state::CHAT_USERS.into())
    }

    /// What nobody may have thought of: this board's chat server lets everybody in.
    pub fn hint(&self) -> Option<String> {
        self.hint_for(Path::new(chat::SERVICE))
    }

    fn hint_for(&self, service: &Path) -> Option<String> {
        let is_of_service = self.file.is_none() && service.exists();
        let settings = is_of_service.then(|| chat::Settings::load(service).ok())??;
        settings.users_file.is_none().then(|| {
            format!(
                "The chat server does not ask for it yet: set users_file = {:?} in {}, then \
                 systemctl restart camera-agent-chat",
                state::CHAT_USERS,
                service.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn typed(flags: &[&str]) -> ChatUser {
        let words = ["camera-agent", "chat-user", "add", "alice"];
        match Cli::parse_from(words.iter().chain(flags)).command {
            Command::ChatUser(typed) => typed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_file_is_the_chat_servers_and_one_that_asks_for_nothing_is_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let service = folder.path().join("chat.toml");
        let asks = typed(&[]);
        let is_told = |typed: &ChatUser| typed.hint_for(&service).is_some();
        assert_eq!(asks.path(&service), Path::new(state::CHAT_USERS));
        assert!(!is_told(&asks), "there is no chat server");
        std::fs::write(&service, "").expect("written");
        assert!(is_told(&asks));
        assert!(!is_told(&typed(&["--file", "/x"])), "it may be another's");
        std::fs::write(&service, "users_file = \"/y/users\"").expect("written");
        assert!(!is_told(&asks));
        assert_eq!(asks.path(&service), Path::new("/y/users"));
        std::fs::write(&service, "no TOML").expect("written");
        assert!(!is_told(&asks), "nobody knows what it would say");
    }
}

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
        let of_service = || {
            self.of_service()
                .unwrap_or_else(|| state::CHAT_USERS.into())
        };
        UsersFile::new(self.file.clone().unwrap_or_else(of_service))
    }

    /// What nobody may have thought of: this board's chat server lets everybody in.
    pub fn hint(&self) -> Option<String> {
        let is_open = self.file.is_none() && self.of_service().is_none();
        (is_open && Path::new(chat::SERVICE).exists()).then(|| {
            format!(
                "The chat server does not ask for it yet: set users_file = {:?} in {}, then \
                 systemctl restart camera-agent-chat",
                state::CHAT_USERS,
                chat::SERVICE
            )
        })
    }

    fn of_service(&self) -> Option<PathBuf> {
        let settings = chat::Settings::load(Path::new(chat::SERVICE)).ok()?;
        settings.users_file
    }
}

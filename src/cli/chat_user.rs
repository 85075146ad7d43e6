//! `camera-agent chat-user`: who may sign in to a chat server.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::chat::UsersFile;
use crate::state;

/// `camera-agent chat-user`
#[derive(Debug, Args)]
pub struct ChatUser {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
    /// The users file, as `camera-agent chat --users-file` has it.
    #[arg(long, value_name = "FILE", global = true, default_value = state::CHAT_USERS)]
    pub file: PathBuf,
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
        UsersFile::new(&self.file)
    }
}

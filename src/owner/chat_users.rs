//! `camera-agent chat-user`: who may sign in to the chat server, beside one that
//! runs, or without one.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write};

use crate::chat::UsersError;
use crate::cli::chat_user::{ChatUser, What};
use crate::login::{self, Hash, LONGEST_PASSWORD};
use crate::secret::Secret;
use crate::wire::UserName;

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChatUserError {
    /// The file, or what is wanted of it.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The password cannot be used.
    #[error("{0}")]
    Password(String),
    /// Standard output, or the terminal.
    #[error("the terminal, standard input or output: {0}")]
    Terminal(#[from] io::Error),
}

/// Where a password comes from.
pub(crate) trait Passwords {
    /// A password that is to be somebody's.
    ///
    /// # Errors
    ///
    /// There is none, or two that should be the same are not.
    fn choose(&mut self, name: &UserName) -> Result<Secret, ChatUserError>;
}

/// The terminal, which does not show it, or standard input.
#[derive(Debug)]
pub(crate) struct Asked;

impl Passwords for Asked {
    fn choose(&mut self, name: &UserName) -> Result<Secret, ChatUserError> {
        if !io::stdin().is_terminal() {
            return line(&mut io::stdin().lock());
        }
        let first = rpassword::prompt_password(format!("Password for {name}: "))?;
        let first = Secret::new(first);
        let again = Secret::new(rpassword::prompt_password("The same again: ")?);
        if first != again {
            let words = "these were two different passwords; nothing was changed";
            return Err(ChatUserError::Password(words.to_owned()));
        }
        Ok(first)
    }
}

/// The first line of what is read.
fn line(from: &mut impl BufRead) -> Result<Secret, ChatUserError> {
    let mut line = String::new();
    // Longer ones are refused, and not read any further.
    let most = LONGEST_PASSWORD as u64 + 2;
    from.take(most).read_line(&mut line)?;
    let line = line.trim_end_matches(['\r', '\n']);
    Ok(Secret::new(line))
}

/// Does what was typed.
///
/// # Errors
///
/// Nothing was changed.
pub(crate) fn chat_user(
    arguments: &ChatUser,
    passwords: &mut dyn Passwords,
    out: &mut dyn Write,
) -> Result<(), ChatUserError> {
    let file = arguments.users();
    match &arguments.what {
        What::Add { name } => {
            let name = named(name)?;
            let password = passwords.choose(&name)?;
            let hash: Hash = login::hash(&password).map_err(ChatUserError::Password)?;
            let had_one = file.change(|users| users.set_password(&name, hash))?;
            match had_one {
                true => writeln!(
                    out,
                    "{name} has another password now; who is signed in with the old one is signed out"
                )?,
                false => writeln!(out, "{name} may sign in")?,
            }
            if let Some(hint) = arguments.hint() {
                writeln!(out, "{hint}")?;
            }
        }
        What::Token { name } => {
            let name = named(name)?;
            let token = file.change(|users| users.add_token(&name))?;
            // Alone, so that it can be written into a file.
            writeln!(out, "{}", token.expose())?;
        }
        What::Remove { name, tokens: true } => {
            let name = named(name)?;
            let removed = file.change(|users| {
                let there = known(users);
                users.remove_tokens(&name).ok_or(there)
            })?;
            writeln!(out, "{removed} tokens of {name} are good no longer")?;
        }
        What::Remove { name, .. } => {
            let name = named(name)?;
            file.change(|users| match users.remove(&name) {
                true => Ok(()),
                false => Err(known(users)),
            })?;
            writeln!(
                out,
                "{name} may sign in no longer; a chat server that runs signs them out within a second"
            )?;
        }
        What::List => list(&file.read()?, out)?,
    }
    Ok(())
}

fn named(text: &str) -> Result<UserName, UsersError> {
    login::name(text).map_err(UsersError::Refused)
}

/// Who there is, for who was looked for in vain.
fn known(users: &login::Users) -> String {
    if users.is_empty() {
        return "there are no users".to_owned();
    }
    let names: Vec<_> = users.iter().map(|(name, _)| name).collect();
    format!("there is no such user; there are {}", names.join(", "))
}

fn list(users: &login::Users, out: &mut dyn Write) -> io::Result<()> {
    if users.is_empty() {
        return writeln!(out, "nobody may sign in; `camera-agent chat-user add NAME`");
    }
    for (name, user) in users.iter() {
        let password = match user.password {
            Some(_) => "a password",
            None => "no password",
        };
        writeln!(out, "{name}: {password}, {} tokens", user.tokens())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::chat::UsersFile;
    use crate::cli::{Cli, Command};

    struct Typed(&'static str);

    impl Passwords for Typed {
        fn choose(&mut self, _: &UserName) -> Result<Secret, ChatUserError> {
            line(&mut self.0.as_bytes())
        }
    }

    fn run(
        folder: &tempfile::TempDir,
        words: &[&str],
        typed: &'static str,
    ) -> Result<String, String> {
        let file = folder.path().join("users");
        let file = file.to_str().expect("text");
        let line = ["camera-agent", "chat-user"].iter().chain(words);
        let cli = Cli::try_parse_from(line.chain(&["--file", file])).map_err(|e| e.to_string())?;
        let Command::ChatUser(arguments) = cli.command else {
            panic!("{:?}", cli.command)
        };
        let mut out = Vec::new();
        chat_user(&arguments, &mut Typed(typed), &mut out).map_err(|e| e.to_string())?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn users_come_get_tokens_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = |words: &[&str], typed| run(&folder, words, typed);
        assert_eq!(
            run(&["add", "alice"], "north north\nmore").as_deref(),
            Ok("alice may sign in\n")
        );
        let again = run(&["add", "alice"], "south south\r\n").expect("changed");
        assert!(again.contains("another password"), "{again}");
        let token = run(&["token", "camera"], "").expect("made");
        assert_eq!(token.trim().len(), 43);
        let list = run(&["list"], "").expect("listed");
        assert_eq!(
            list,
            "alice: a password, 0 tokens\ncamera: no password, 1 tokens\n"
        );
        let users = UsersFile::new(folder.path().join("users"))
            .read()
            .expect("readable");
        let (whose, _) = users.token(token.trim()).expect("it is good");
        assert_eq!(whose.as_str(), "camera");
        let alice = users
            .get(&whose)
            .map(|_| login::name("alice").expect("a name"));
        let (hash, _) = users.to_try(&alice.expect("there"), 0).expect("a password");
        assert!(
            hash.is_of(&Secret::new("south south")) && !hash.is_of(&Secret::new("north north"))
        );
        run(&["remove", "camera", "--tokens"], "").expect("removed");
        let left = run(&["remove", "camera"], "").expect_err("gone with the last token");
        assert!(left.contains("there are alice"), "{left}");
        run(&["remove", "alice"], "").expect("removed");
        assert!(run(&["list"], "").expect("listed").contains("nobody"));
    }

    #[test]
    fn what_cannot_be_used_changes_nothing_and_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let long: &'static str = "x".repeat(2000).leak();
        for (words, typed, says) in [
            (&["add", "alice"][..], "short", "at least 8"),
            (&["add", "alice"], long, "at most 1024"),
            (&["add", "a:b"], "north north", "colon"),
            (&["add", ""], "north north", "empty"),
            (&["token", "#x"], "", "begin with #"),
            (&["remove", "alice"], "", "there are no users"),
            (&["list"], "", "no users file"),
        ] {
            let error = run(&folder, words, typed).expect_err("refused");
            assert!(error.contains(says), "{words:?}: {error}");
        }
        assert!(!folder.path().join("users").exists());
    }
}

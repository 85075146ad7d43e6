//! Who may sign in to a chat server.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use camera_agent::chat::UsersFile;
use camera_agent::login;
use camera_agent::secret::Secret;
use tempfile::TempDir;

/// Of those whose password does not matter.
pub const PASSWORD: &str = "north of the river";

/// A file with alice and her password.
pub fn users() -> (TempDir, UsersFile) {
    let folder = tempfile::tempdir().expect("a folder");
    let users = UsersFile::new(folder.path().join("users"));
    password(&users, "alice", PASSWORD);
    (folder, users)
}

/// Gives somebody a password.
pub fn password(users: &UsersFile, name: &str, password: &str) {
    let name = login::name(name).expect("a name");
    let hash = login::hash(&Secret::new(password)).expect("long enough");
    let set = users.change(|users| users.set_password(&name, hash));
    set.expect("written");
}

/// Gives somebody a token.
pub fn token(users: &UsersFile, name: &str) -> String {
    let name = login::name(name).expect("a name");
    let made = users.change(|users| users.add_token(&name));
    made.expect("written").expose().to_owned()
}

/// Takes somebody away.
pub fn remove(users: &UsersFile, name: &str) {
    let name = login::name(name).expect("a name");
    let removed = users.change(|users| Ok(users.remove(&name)));
    assert!(removed.expect("written"), "there was one");
}

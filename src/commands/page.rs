//! `camera-agent page`: the page as files for any web server.

use crate::{chat, cli};

/// Writes them, and says what to do with them.
pub(super) fn run(arguments: &cli::Page) -> anyhow::Result<()> {
    let export =
        chat::Export::new(&arguments.server, arguments.name.clone()).map_err(anyhow::Error::msg)?;
    export
        .write(&arguments.folder)
        .map_err(|(path, error)| anyhow::Error::new(error).context(path.display().to_string()))?;
    println!(
        "The page is in {}. Put it on a web server of yours, and start the chat server with\n\
         --allow-origin and that web server's origin, such as https://home.example.org.",
        arguments.folder.display()
    );
    if !export.is_encrypted() {
        println!("Browsers let a page of https reach only a server with a certificate, wss://.");
    }
    Ok(())
}

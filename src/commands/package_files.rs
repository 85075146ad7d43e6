//! What a package holds besides the binary, made from the command line's own
//! definition: manual pages and shell completions, and the configuration that
//! nobody has filled in yet.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::setup::file;

/// Writes `man/*.1`, `completions/*` and `camera-agent.toml` into `folder`.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    let man = folder.join("man");
    let completions = folder.join("completions");
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let command = Cli::command();
    clap_mangen::generate_to(command.clone(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut command = command.clone();
        clap_complete::generate_to(shell, &mut command, "camera-agent", &completions)?;
    }
    std::fs::write(folder.join("camera-agent.toml"), file::unconfigured())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_command_and_a_completion_for_each_shell() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path()).expect("written");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(read("man/camera-agent.1").contains("camera\\-agent"));
        for command in ["invite", "viewers", "revoke"] {
            let page = read(&format!("man/camera-agent-{command}.1"));
            assert!(page.contains("\\-\\-config"), "{command}");
        }
        assert!(read("man/camera-agent-run.1").contains("\\-\\-config"));
        assert!(read("man/camera-agent-setup.1").contains("\\-\\-microphone"));
        assert!(read("completions/camera-agent.bash").contains("--server"));
        assert!(read("completions/_camera-agent").contains("--server"));
        assert!(read("completions/camera-agent.fish").contains("server"));
        assert!(read("camera-agent.toml").contains("[server]"));
        assert!(
            !folder
                .path()
                .join("man/camera-agent-package-files.1")
                .exists(),
            "a command for packagers has no page"
        );
    }
}

//! `camera-agent fixture`: what somebody's board reported becomes a described
//! machine, for tests; `make fixture REPORT=FILE`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::doctor::bundle::fixture::{Fixture, MOST};

/// Reads the report, and writes its fixture into `folder`.
pub(super) fn write(report: &Path, folder: &Path) -> anyhow::Result<()> {
    let of = || report.display().to_string();
    let mut text = String::new();
    // A byte more than there may be is one too many.
    let limit = MOST as u64 + 1;
    let read = File::open(report).and_then(|file| file.take(limit).read_to_string(&mut text));
    read.with_context(of)?;
    let fixture = Fixture::of_bundle(&text).with_context(of)?;
    let path = folder.join(fixture.name());
    let text = fixture.text();
    match fs::read_to_string(&path) {
        Ok(there) if there == text => {}
        Ok(_) => bail!(
            "{} is there, and is of another report: take it away",
            path.display()
        ),
        Err(_) => fs::write(&path, text).with_context(|| path.display().to_string())?,
    }
    println!("{}", path.display());
    for difference in fixture.differences().map_err(anyhow::Error::msg)? {
        eprintln!("the test of it will fail: {difference}");
    }
    Ok(())
}

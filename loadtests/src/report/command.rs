//! `backstock-lab report`: the page again, from a recorded `report.json`.

use std::path::PathBuf;

use anyhow::Result;

/// Rebuilds the page from a report.json, and prints the table.
#[derive(Debug, clap::Args)]
pub struct Command {
    /// The record, for example target/compare/report.json.
    #[arg(default_value = "target/compare/report.json")]
    pub record: PathBuf,
    /// Where to write the page; beside the record by default.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Prints the record as JSON instead of the table.
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// Reads the record, writes the page, prints the table.
    pub fn run(self) -> Result<()> {
        let report = super::read(&self.record)?;
        let beside = self.record.parent().map(PathBuf::from).unwrap_or_default();
        let page = self.output.unwrap_or(beside).join("index.html");
        if let Some(folder) = page.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&page, super::render(&report)?)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("{}", super::table(&report));
            println!("page: {}", page.display());
        }
        Ok(())
    }
}

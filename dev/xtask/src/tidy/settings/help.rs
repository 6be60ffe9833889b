//! Parses `--help`. clap prints, for each setting:
//!
//! ```text
//!       --listen <LISTEN>
//!           Where customers connect
//!
//!           [env: BACKSTOCK_LISTEN=]
//!           [default: 127.0.0.1:8080]
//! ```

use anyhow::{Result, bail};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Setting {
    /// With its dashes.
    pub(super) flag: String,
    /// The environment variable.
    pub(super) variable: Option<String>,
    pub(super) default: Option<String>,
    pub(super) description: String,
    pub(super) is_required: bool,
    /// clap hides its value.
    pub(super) is_secret: bool,
}

/// The suffixes of names that stand for units.
const UNITS: [(&str, &str); 6] = [
    ("_PERCENT", "%"),
    ("_BYTES", "bytes"),
    ("_DAYS", "days"),
    ("_MS", "ms"),
    ("_S", "s"),
    ("_RATIO", "0 to 1"),
];

impl Setting {
    /// The unit, from the suffix of its name.
    pub(super) fn unit(&self) -> Option<&'static str> {
        let name = self.variable.as_ref().unwrap_or(&self.flag);
        let named = UNITS.iter().find(|(suffix, _)| name.ends_with(suffix));
        named.map(|(_, unit)| *unit)
    }
}

/// All settings, in order.
pub(super) fn parse(help: &str) -> Result<Vec<Setting>> {
    let Some((head, options)) = help.split_once("\nOptions:\n") else {
        bail!("there are no options");
    };
    let usage = head
        .lines()
        .find(|line| line.starts_with("Usage:"))
        .unwrap_or_default();
    let mut settings: Vec<Setting> = Vec::new();
    // False within `--help` and `--version`.
    let mut is_setting = false;
    for line in options.lines() {
        let text = line.trim();
        if line.starts_with("  -") || line.starts_with("      --") {
            let flag = text.split([' ', ',']).next().unwrap_or_default();
            is_setting = flag.starts_with("--");
            // clap's short form, with the description on the same line.
            if text.contains("  ") {
                bail!("the description of {flag} stands beside it");
            }
            if is_setting {
                settings.push(new_setting(flag, usage));
            }
        } else if let Some(setting) = settings.last_mut().filter(|_| is_setting) {
            add_line(setting, text);
        }
    }
    for setting in &mut settings {
        end_sentence(&mut setting.description);
    }
    Ok(settings)
}

fn new_setting(flag: &str, usage: &str) -> Setting {
    Setting {
        flag: flag.to_owned(),
        variable: None,
        default: None,
        description: String::new(),
        is_required: usage.contains(&format!(" {flag} ")),
        is_secret: false,
    }
}

/// Adds a line of a setting's block.
fn add_line(setting: &mut Setting, line: &str) {
    let tag = |name: &str| line.strip_prefix(name)?.strip_suffix(']');
    if let Some(variable) = tag("[env: ") {
        let (name, value) = variable.split_once('=').unzip();
        setting.variable = Some(name.unwrap_or(variable).to_owned());
        setting.is_secret = value.is_none();
    } else if let Some(default) = tag("[default: ") {
        setting.default = Some(default.to_owned());
    } else if let Some(values) = tag("[possible values: ") {
        end_sentence(&mut setting.description);
        setting.description.push_str(&format!(" One of {values}"));
    } else if line == "Possible values:" {
        end_sentence(&mut setting.description);
    } else if let Some((value, meaning)) = line.strip_prefix("- ").and_then(|line| line.split_once(": ")) {
        // Possible values, one per line.
        end_sentence(&mut setting.description);
        setting
            .description
            .push_str(&format!(" `{value}`: {}", meaning.trim_start()));
    } else if !line.is_empty() {
        let space = if setting.description.is_empty() { "" } else { " " };
        setting.description.push_str(&format!("{space}{line}"));
    }
}

/// Adds the final full stop that clap drops.
fn end_sentence(sentence: &mut String) {
    if !sentence.is_empty() && !sentence.ends_with(['.', ']', '…']) {
        sentence.push('.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Serves

Usage: shop serve [OPTIONS] --secrets <SECRETS> --url <URL>

Options:
      --url <URL>
          Where it is
          
          [env: SHOP_URL=]

      --secrets <SECRETS>
          What signs. The first one
          signs

          [env: SHOP_SECRETS]

      --wait-ms <WAIT>
          How long, in milliseconds
          
          [env: SHOP_WAIT_MS=]
          [default: 100]

      --format <FORMAT>
          text or json

          Possible values:
          - text: For people
          - json:   For machines: one a line
          
          [default: text]

      --strict
          Nothing when anything is bad

  -h, --help
          Print help (see a summary with '-h')

  -V, --version
          Print version
";

    #[test]
    fn each_setting_is_parsed_with_all_its_attributes() {
        let settings = parse(HELP).unwrap();
        let flags: Vec<&str> = settings.iter().map(|setting| setting.flag.as_str()).collect();
        assert_eq!(flags, ["--url", "--secrets", "--wait-ms", "--format", "--strict"]);
        let [url, secrets, wait, format, strict] = &settings[..] else {
            panic!("five");
        };
        assert!(url.is_required && !url.is_secret);
        assert_eq!(url.variable.as_deref(), Some("SHOP_URL"));
        assert!(secrets.is_required && secrets.is_secret);
        assert_eq!(secrets.description, "What signs. The first one signs.");
        assert_eq!((wait.default.as_deref(), wait.unit()), (Some("100"), Some("ms")));
        assert!(!wait.is_required);
        assert_eq!(
            format.description,
            "text or json. `text`: For people. `json`: For machines: one a line."
        );
        assert_eq!((&strict.variable, &strict.default), (&None, &None));
    }

    #[test]
    fn another_format_is_an_error() {
        assert!(parse("Usage: shop\n").is_err());
        assert!(parse("\nOptions:\n      --url <URL>  Where it is [env: SHOP_URL=]\n").is_err());
    }
}

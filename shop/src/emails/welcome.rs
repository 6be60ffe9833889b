//! The welcome mail of a new customer.

use askama::Template;

use super::{Email, one_line};

/// The data of a welcome mail.
#[derive(Debug, Clone)]
pub struct Welcome {
    pub name: String,
}

#[derive(Template)]
#[template(path = "welcome.txt")]
struct Text<'a> {
    name: &'a str,
}

#[derive(Template)]
#[template(path = "welcome.html")]
struct Html<'a> {
    name: &'a str,
}

impl Welcome {
    /// Renders the email.
    pub fn email(&self) -> Email {
        let name = &self.name;
        Email {
            subject: one_line(format!("Welcome, {name}")),
            text: Text { name }.render().expect("writing to a string does not fail"),
            html: Html { name }.render().expect("writing to a string does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_markup_nor_a_header() {
        let email = Welcome {
            name: "Eve\r\nBcc: all@example.org <i>".to_owned(),
        }
        .email();
        assert!(!email.subject.contains(['\r', '\n']), "{:?}", email.subject);
        assert!(!email.html.contains("<i>") && email.text.contains("<i>"));
    }
}

//! The confirmation mail of an order.

use askama::Template;
use serde::Deserialize;

use super::{Email, one_line};
use crate::money::Money;

/// The data of an order's confirmation.
#[derive(Debug, Clone)]
pub struct Confirmation {
    pub number: i64,
    pub lines: Vec<ConfirmationLine>,
    /// Before discount and shipping.
    pub subtotal: Money,
    /// 0 is not shown.
    pub discount: Money,
    pub shipping: Money,
    pub total: Money,
    pub address: Address,
}

/// A line of the order.
#[derive(Debug, Clone)]
pub struct ConfirmationLine {
    /// At the time of the order.
    pub title: String,
    pub variant_title: String,
    pub quantity: i32,
    pub total: Money,
}

/// A postal address, as stored with an order.
#[derive(Debug, Clone, Deserialize)]
pub struct Address {
    pub name: String,
    pub line1: String,
    #[serde(default)]
    pub line2: Option<String>,
    pub city: String,
    pub postal_code: String,
    #[serde(default)]
    pub region: Option<String>,
    pub country: String,
}

impl Address {
    /// As printed on a parcel.
    fn lines(&self) -> Vec<String> {
        let city = format!("{} {}", self.postal_code, self.city);
        let named = [
            Some(&self.name),
            Some(&self.line1),
            self.line2.as_ref(),
            Some(&city),
        ];
        let rest = [self.region.as_ref(), Some(&self.country)];
        named.into_iter().chain(rest).flatten().cloned().collect()
    }
}

#[derive(Template)]
#[template(path = "confirmation.txt")]
struct Text<'a> {
    order: &'a Confirmation,
    address: Vec<String>,
}

#[derive(Template)]
#[template(path = "confirmation.html")]
struct Html<'a> {
    order: &'a Confirmation,
    address: Vec<String>,
}

impl Confirmation {
    /// Renders the email.
    pub fn email(&self) -> Email {
        let address = self.address.lines();
        let text = Text {
            order: self,
            address: address.clone(),
        };
        let html = Html { order: self, address };
        Email {
            subject: one_line(format!("Your order {}", self.number)),
            text: text.render().expect("writing to a string does not fail"),
            html: html.render().expect("writing to a string does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn euros(amount: i64) -> Money {
        Money {
            amount,
            currency: Currency::EUR,
        }
    }

    fn confirmation() -> Confirmation {
        Confirmation {
            number: 1042,
            lines: vec![ConfirmationLine {
                title: "Lantern <b>\"Nordlys\"</b> & wick".to_owned(),
                variant_title: "Red".to_owned(),
                quantity: 2,
                total: euros(2598),
            }],
            subtotal: euros(2598),
            discount: euros(100),
            shipping: euros(495),
            total: euros(2993),
            address: Address {
                name: "Ada <script>alert(1)</script>".to_owned(),
                line1: "1 Harbour Street".to_owned(),
                line2: None,
                city: "Bergen".to_owned(),
                postal_code: "5003".to_owned(),
                region: None,
                country: "NO".to_owned(),
            },
        }
    }

    #[test]
    fn text_and_html_contain_items_prices_and_address() {
        let email = confirmation().email();
        for expected in [
            "1042",
            "25.98 EUR",
            "4.95 EUR",
            "29.93 EUR",
            "-1.00 EUR",
            "Red",
            "5003 Bergen",
            "NO",
        ] {
            assert!(email.text.contains(expected), "{expected}:\n{}", email.text);
            assert!(email.html.contains(expected), "{expected}:\n{}", email.html);
        }
    }

    #[test]
    fn a_customers_input_is_escaped_in_html_and_unchanged_in_text() {
        let email = confirmation().email();
        assert!(
            !email.html.contains("<script>") && !email.html.contains("<b>\""),
            "{}",
            email.html
        );
        assert!(
            email.text.contains("Lantern <b>\"Nordlys\"</b> & wick"),
            "{}",
            email.text
        );
    }

    #[test]
    fn an_order_without_discount_does_not_mention_one() {
        let order = Confirmation {
            discount: euros(0),
            ..confirmation()
        };
        assert!(!order.email().text.contains("Discount"));
    }
}

//! How dead letters are shown: to people, or as JSON.

use serde_json::{Value, json};
use storefront::messages::TRACEPARENT;

use super::letters::Letter;
use crate::consumers::message;

/// A line each.
pub(super) fn list(letters: &[Letter], as_json: bool) {
    if as_json {
        let all: Vec<Value> = letters.iter().map(describe).collect();
        println!("{}", json!(all));
        return;
    }
    if letters.is_empty() {
        println!("There are no dead letters.");
    }
    for letter in letters {
        let properties = &letter.delivery.properties;
        println!(
            "{}  {:<18}  {:>2} attempts  {}",
            id(letter),
            letter.consumer.as_str(),
            message::attempts(properties),
            message::reason(properties)
        );
    }
}

/// All that is known of them.
pub(super) fn whole(letters: &[&Letter], as_json: bool) {
    let all: Vec<Value> = letters.iter().map(|letter| describe(letter)).collect();
    if as_json {
        println!("{}", json!(all));
        return;
    }
    for letter in letters {
        let properties = &letter.delivery.properties;
        let trace = message::text(properties, TRACEPARENT).unwrap_or_else(|| "none".to_owned());
        println!("message   {}", id(letter));
        println!("consumer  {}", letter.consumer.as_str());
        println!("event     {}", letter.consumer.event());
        println!("attempts  {}", message::attempts(properties));
        println!("reason    {}", message::reason(properties));
        println!("trace     {trace}");
        println!("body      {}", String::from_utf8_lossy(&letter.delivery.data));
    }
}

/// What was done to how many.
pub(super) fn outcome(done: &str, letters: usize, as_json: bool) {
    if as_json {
        println!("{}", json!({ done: letters }));
    } else {
        println!("{letters} {done}");
    }
}

fn id(letter: &Letter) -> String {
    let id = letter.delivery.properties.message_id();
    id.as_ref()
        .map_or_else(|| "without an id".to_owned(), ToString::to_string)
}

fn describe(letter: &Letter) -> Value {
    let properties = &letter.delivery.properties;
    let text = String::from_utf8_lossy(&letter.delivery.data);
    let body = serde_json::from_slice(&letter.delivery.data).unwrap_or_else(|_| json!(text));
    json!({
        "id": properties.message_id().as_ref().map(ToString::to_string),
        "consumer": letter.consumer.as_str(),
        "event": letter.consumer.event(),
        "attempts": message::attempts(properties),
        "reason": message::reason(properties),
        "traceparent": message::text(properties, TRACEPARENT),
        "body": body,
    })
}

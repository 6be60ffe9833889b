//! The command's output, as text or JSON.

use serde_json::{Value, json};
use shop::messages::TRACEPARENT;

use super::letters::DeadLetter;
use crate::consumers::message;

/// Prints one line per dead letter.
pub(super) fn list(letters: &[DeadLetter], as_json: bool) {
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

/// Prints all details of each dead letter.
pub(super) fn details(letters: &[&DeadLetter], as_json: bool) {
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

/// Prints the action and the number of dead letters.
pub(super) fn summary(done: &str, letters: usize, as_json: bool) {
    if as_json {
        println!("{}", json!({ done: letters }));
    } else {
        println!("{letters} {done}");
    }
}

fn id(letter: &DeadLetter) -> String {
    let id = letter.delivery.properties.message_id();
    id.as_ref()
        .map_or_else(|| "without an id".to_owned(), ToString::to_string)
}

fn describe(letter: &DeadLetter) -> Value {
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

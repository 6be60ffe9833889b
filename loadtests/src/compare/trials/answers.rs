//! The same orders to all arms, good ones and bad ones, and whether they answer alike.

use anyhow::Result;
use serde_json::Value;
use uuid::Uuid;

use super::{Arm, carts};
use crate::load::{Request, fetch};
use crate::report::SameAnswers;
use crate::trials::{Cart, PLENTY};

/// Of the goods, the last one is sold out.
const VARIANTS: usize = 9;

/// What is asked, in words, and the request of one arm.
type Question = (&'static str, Request);

/// Compares answers without what is new for each order: ids, numbers, times, tokens.
pub(super) async fn compare(arms: &mut [Arm], note: Option<&str>) -> Result<SameAnswers> {
    let mut same = SameAnswers {
        note: note.map(str::to_owned),
        ..SameAnswers::default()
    };
    let mut of_arms = Vec::new();
    for arm in arms.iter_mut() {
        let mut answers = Vec::new();
        for (what, request) in questions(arm).await? {
            let answer = fetch(&arm.town.shop().target(), &request).await?;
            let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            forget_what_is_new(&mut body);
            answers.push((what, answer.status, body));
        }
        of_arms.push(answers);
    }
    let Some((first, others)) = of_arms.split_first() else {
        return Ok(same);
    };
    for (position, answer) in first.iter().enumerate() {
        same.compared += 1;
        if others.iter().any(|other| other[position] != *answer) {
            same.different += 1;
            same.first_difference.get_or_insert_with(|| answer.0.to_owned());
        }
    }
    Ok(same)
}

async fn questions(arm: &mut Arm) -> Result<Vec<Question>> {
    let mut carts = carts(arm, VARIANTS, PLENTY).await?;
    let monitor = &mut arm.town.monitor;
    let made = carts.make(monitor, VARIANTS).await?;
    let mut questions = Vec::new();
    for cart in &made[..4] {
        questions.push(("an order", cart.order("tok_ok")?));
    }
    questions.push(("the same order again", made[0].order("tok_ok")?));
    questions.push(("the same key for another order", made[0].order("tok_declined")?));
    questions.push(("a declined card", made[4].order("tok_declined")?));
    questions.push((
        "a token that the gateway doesn't know",
        made[5].order("tok_unheard_of")?,
    ));
    let mut nobodys = made[6].order("tok_ok")?;
    nobodys.headers = made[5].order("tok_ok")?.headers;
    questions.push(("somebody else's cart", nobodys));
    let nothing = Cart {
        id: Uuid::from_u128(1),
        token: made[6].token.clone(),
    };
    questions.push(("a cart that isn't there", nothing.order("tok_ok")?));
    let mut nonsense = made[7].order("tok_ok")?;
    nonsense.body = r#"{"cart_id": 7}"#.into();
    questions.push(("a body that is none", nonsense));
    // Sold out last, so that it concerns only this question.
    let mut sold_out = carts.goods().clone();
    sold_out.lines = 1;
    sold_out.variants.drain(..VARIANTS - 1);
    sold_out.stock(monitor, 0).await?;
    let late = crate::trials::Carts::of(sold_out).make(monitor, 1).await?;
    questions.push(("what is sold out", late[0].order("tok_ok")?));
    Ok(questions)
}

fn forget_what_is_new(value: &mut Value) {
    const NEW: [&str; 7] = [
        "id",
        "number",
        "created_at",
        "at",
        "order_token",
        "request_id",
        "instance",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !NEW.contains(&name.as_str()));
            fields.values_mut().for_each(forget_what_is_new);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_what_is_new),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_for_each_order_is_forgotten_and_nothing_else() {
        let mut order = serde_json::json!({
            "id": "1", "number": 7, "status": "paid",
            "items": [{"sku": "A", "quantity": 2}], "timeline": [{"event": "paid", "at": "now"}],
        });
        forget_what_is_new(&mut order);
        let expected = serde_json::json!({
            "status": "paid", "items": [{"sku": "A", "quantity": 2}], "timeline": [{"event": "paid"}],
        });
        assert_eq!(order, expected);
    }
}

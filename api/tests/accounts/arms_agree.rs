//! The same requests to every arm of this slice's lessons: the answers are the same, apart from ids, tokens and times.
//! What a signed-out access token still opens is the named difference (`sessions.rs`), and is not asked here.

use axum::http::Request;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use storefront::variants::Variants;

use super::people::{PASSWORD, Person, address, arms, post, refresh, sign_in};
use crate::support::answer::Answer;
use crate::support::shop::TestShop;

/// What somebody does next.
#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    SignIn(u8, bool),
    Look,
    Rename(String),
    Keep(String),
    ListKept,
    RemoveFirst,
    Refresh,
    RefreshWithTheLast,
    SignOut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8).prop_map(Step::Register),
        (0..3_u8, any::<bool>()).prop_map(|(who, knows)| Step::SignIn(who, knows)),
        Just(Step::Look),
        "[a-zA-Zæøå '\\-\u{0}]{0,20}".prop_map(Step::Rename),
        "[a-zA-Z ]{0,12}".prop_map(Step::Keep),
        Just(Step::ListKept),
        Just(Step::RemoveFirst),
        Just(Step::Refresh),
        Just(Step::RefreshWithTheLast),
        Just(Step::SignOut),
    ]
}

/// One shop and who is signed in there.
struct Side {
    shop: TestShop,
    person: Option<Person>,
    used_token: Option<String>,
}

impl Side {
    async fn take(&mut self, step: &Step) -> Option<Value> {
        let shop = &self.shop;
        let email = |who: &u8| format!("person-{who}@example.com");
        let answer = match (step, &self.person) {
            (Step::Register(who), _) => {
                let registration = json!({ "email": email(who), "password": PASSWORD, "name": "Somebody" });
                post(shop, "/v1/accounts", &registration).await
            }
            (Step::SignIn(who, knows), _) => {
                let password = if *knows { PASSWORD } else { "wrong horse" };
                let answer = sign_in(shop, &email(who), password).await;
                self.keep_tokens(&email(who), &answer);
                answer
            }
            (Step::RefreshWithTheLast, _) => {
                let used = self.used_token.clone()?;
                let answer = refresh(shop, &used).await;
                // Its family is gone; what its access token opens depends on the arm.
                self.person = None;
                answer
            }
            (_, None) => return None,
            (Step::Look, Some(person)) => person.get(shop, "/v1/me").await,
            (Step::Rename(name), Some(person)) => {
                let request = person.bearing(Request::patch("/v1/me"));
                shop.send_json(request, &json!({ "name": name })).await
            }
            (Step::Keep(city), Some(person)) => person.post(shop, "/v1/me/addresses", &address(city)).await,
            (Step::ListKept, Some(person)) => person.get(shop, "/v1/me/addresses").await,
            (Step::RemoveFirst, Some(person)) => {
                let kept = person.get(shop, "/v1/me/addresses").await.ok().json();
                let id = kept["items"][0]["id"].as_str().unwrap_or("nothing").to_owned();
                person.delete(shop, &format!("/v1/me/addresses/{id}")).await
            }
            (Step::Refresh, Some(person)) => {
                let (email, used) = (person.email.clone(), person.refresh_token.clone());
                let answer = refresh(shop, &used).await;
                self.keep_tokens(&email, &answer);
                self.used_token = Some(used);
                answer
            }
            (Step::SignOut, Some(person)) => {
                let answer = person.delete(shop, "/v1/sessions/current").await;
                self.used_token = Some(person.refresh_token.clone());
                self.person = None;
                answer
            }
        };
        Some(json!([answer.status.as_u16(), comparable(answer.json_or_null())]))
    }

    fn keep_tokens(&mut self, email: &str, answer: &Answer) {
        if answer.status == 201 {
            self.person = Some(Person::signed_in(email, answer));
            self.used_token = None;
        }
    }
}

/// Without what is new each time.
fn comparable(mut body: Value) -> Value {
    match &mut body {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_new = ["id", "access_token", "refresh_token", "created_at"].contains(&name.as_str());
                *value = if is_new {
                    "new".into()
                } else {
                    comparable(value.take())
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = comparable(item.take())),
        _ => {}
    }
    body
}

async fn walk(sides: &[Variants], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut all = Vec::new();
    for variants in sides {
        all.push(Side {
            shop: TestShop::start(&variants.to_string()).await,
            person: None,
            used_token: None,
        });
    }
    for step in steps {
        let (first, others) = all.split_first_mut().expect("a lesson has arms");
        let expected = first.take(step).await;
        for other in others {
            let answered = other.take(step).await;
            prop_assert_eq!(&answered, &expected, "{:?}: {}", step, other.shop.variants);
        }
    }
    Ok(())
}

#[test]
fn every_arm_answers_as_the_first() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sides = arms();
    // Each case has shops of its own; its steps are what counts.
    let config = Config {
        cases: 3,
        failure_persistence: None,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 40);
    let mut runner = TestRunner::new(config);
    runner
        .run(&steps, |steps| runtime.block_on(walk(&sides, &steps)))
        .unwrap();
}

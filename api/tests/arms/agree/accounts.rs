//! Sends the same requests to every arm of the accounts' lessons: the responses are equal, apart from ids,
//! tokens and times. The arms differ in whether an access token outlives its sign-out; `arms/sessions.rs`
//! tests that.

use axum::http::Request;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use techniques::Selection;

use crate::accounts::people::{PASSWORD, Person, address, post, refresh, sign_in};
use crate::support::arms;
use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

/// The next request of a customer.
#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    SignIn(u8, bool),
    ShowMe,
    Rename(String),
    AddAddress(String),
    ListAddresses,
    RemoveFirstAddress,
    Refresh,
    ReuseRefreshToken,
    SignOut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8).prop_map(Step::Register),
        (0..3_u8, any::<bool>()).prop_map(|(who, is_correct)| Step::SignIn(who, is_correct)),
        Just(Step::ShowMe),
        "[a-zA-Zæøå '\\-\u{0}]{0,20}".prop_map(Step::Rename),
        "[a-zA-Z ]{0,12}".prop_map(Step::AddAddress),
        Just(Step::ListAddresses),
        Just(Step::RemoveFirstAddress),
        Just(Step::Refresh),
        Just(Step::ReuseRefreshToken),
        Just(Step::SignOut),
    ]
}

/// One shop and its signed-in customer.
struct ArmUnderTest {
    selection: Selection,
    shop: TestShop,
    person: Option<Person>,
    used_token: Option<String>,
}

impl ArmUnderTest {
    async fn run(&mut self, step: &Step) -> Option<Value> {
        let shop = &self.shop;
        let email = |who: &u8| format!("person-{who}@example.com");
        let response = match (step, &self.person) {
            (Step::Register(who), _) => {
                let registration = json!({ "email": email(who), "password": PASSWORD, "name": "Person" });
                post(shop, "/v1/accounts", &registration).await
            }
            (Step::SignIn(who, is_correct), _) => {
                let password = if *is_correct { PASSWORD } else { "wrong horse" };
                let response = sign_in(shop, &email(who), password).await;
                self.store_tokens(&email(who), &response);
                response
            }
            (Step::ReuseRefreshToken, _) => {
                let used = self.used_token.clone()?;
                let response = refresh(shop, &used).await;
                // This revokes the token family. Whether the access token still works depends on the arm.
                self.person = None;
                response
            }
            (_, None) => return None,
            (Step::ShowMe, Some(person)) => person.get(shop, "/v1/me").await,
            (Step::Rename(name), Some(person)) => {
                let request = person.authorize(Request::patch("/v1/me"));
                shop.send_json(request, &json!({ "name": name })).await
            }
            (Step::AddAddress(city), Some(person)) => {
                person.post(shop, "/v1/me/addresses", &address(city)).await
            }
            (Step::ListAddresses, Some(person)) => person.get(shop, "/v1/me/addresses").await,
            (Step::RemoveFirstAddress, Some(person)) => {
                let addresses = person.get(shop, "/v1/me/addresses").await.ok().json();
                let id = addresses["items"][0]["id"]
                    .as_str()
                    .unwrap_or("nothing")
                    .to_owned();
                person.delete(shop, &format!("/v1/me/addresses/{id}")).await
            }
            (Step::Refresh, Some(person)) => {
                let (email, used) = (person.email.clone(), person.refresh_token.clone());
                let response = refresh(shop, &used).await;
                self.store_tokens(&email, &response);
                self.used_token = Some(used);
                response
            }
            (Step::SignOut, Some(person)) => {
                let response = person.delete(shop, "/v1/sessions/current").await;
                self.used_token = Some(person.refresh_token.clone());
                self.person = None;
                response
            }
        };
        Some(json!([response.status.as_u16(), masked(response.json_or_null())]))
    }

    fn store_tokens(&mut self, email: &str, response: &TestResponse) {
        if response.status == 201 {
            self.person = Some(Person::signed_in(email, response));
            self.used_token = None;
        }
    }
}

/// Masks the fields that differ on each run.
fn masked(mut body: Value) -> Value {
    match &mut body {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_new = ["id", "access_token", "refresh_token", "created_at"].contains(&name.as_str());
                *value = if is_new {
                    "new".into()
                } else {
                    masked(value.take())
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = masked(item.take())),
        _ => {}
    }
    body
}

async fn run_on_all(selections: &[Selection], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut all = Vec::new();
    for selection in selections {
        all.push(ArmUnderTest {
            selection: *selection,
            shop: arms::run(*selection, TestShop::start).await,
            person: None,
            used_token: None,
        });
    }
    for step in steps {
        let (first, others) = all.split_first_mut().expect("a lesson has arms");
        let expected = first.run(step).await;
        for other in others {
            let actual = other.run(step).await;
            prop_assert_eq!(&actual, &expected, "{:?}: {}", step, other.selection);
        }
    }
    Ok(())
}

#[test]
fn all_arms_return_the_same_responses() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let lessons = ["sessions", "password_hashing", "welcome_email"];
    let selections: Vec<Selection> = lessons.into_iter().flat_map(arms::arms_of).collect();
    // Few cases, because each starts its own shops. The number of steps matters more.
    let config = Config {
        cases: 3,
        failure_persistence: None,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 40);
    let mut runner = TestRunner::new(config);
    runner
        .run(&steps, |steps| runtime.block_on(run_on_all(&selections, &steps)))
        .unwrap();
}

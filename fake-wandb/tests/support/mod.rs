//! A server, and what its clients ask.

use serde_json::{Value, json};
use wbk_fake_wandb::{Config, FakeWandb};

/// One answer: status and body.
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

pub fn server() -> FakeWandb {
    FakeWandb::start(Config::default()).expect("a free port")
}

pub fn ask_as(server: &FakeWandb, user: &str, query: &str, variables: &Value) -> Answer {
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(user);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent
        .post(format!("{}/graphql", server.url()))
        .header("Authorization", format!("Basic {basic}"))
        .send(json!({"query": query, "variables": variables}).to_string())
        .expect("an answer");
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().expect("text");
    Answer { status, body: serde_json::from_str(&text).expect("JSON") }
}

pub fn ask(server: &FakeWandb, query: &str, variables: &Value) -> Answer {
    ask_as(server, &format!("api:{}", server.key()), query, variables)
}

/// The data of an answer without errors.
pub fn data(server: &FakeWandb, query: &str, variables: &Value) -> Value {
    let answer = ask(server, query, variables);
    assert_eq!((answer.status, answer.body.get("errors")), (200, None), "{query}: {}", answer.body);
    answer.body["data"].clone()
}

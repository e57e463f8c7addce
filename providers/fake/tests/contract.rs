//! The provider in memory keeps the contract of every provider, and fails as it is told to.

use wbk_provider_api::contract::{self, wanted};
use wbk_provider_api::{OperationAction, Provider as _, ProviderTarget};
use wbk_provider_fake::{FakeProvider, Fault};

#[tokio::test]
async fn it_keeps_the_contract() {
    contract::pure_parts(&FakeProvider::new(), &wanted());
    contract::life(&FakeProvider::new(), &wanted()).await;
}

#[tokio::test]
async fn a_lost_answer_is_found_by_its_token_and_a_refusal_changes_nothing() {
    let (fake, wanted) = (FakeProvider::new(), wanted());
    let cluster = ProviderTarget::Cluster(wanted.cluster.name.clone());
    let create = fake.plan(&wanted, &fake.observe(&wanted).await).remove(0);
    fake.fail(&cluster, Fault::Refused);
    assert!(fake.perform(&wanted, &create, "token", &|_| {}).await.is_err());
    assert!(!fake.is_running(), "a refusal changes nothing");
    fake.fail(&cluster, Fault::AnswerLost);
    assert!(fake.perform(&wanted, &create, "token", &|_| {}).await.is_err());
    fake.perform(&wanted, &create, "token", &|_| {}).await.expect("it was done already");
    assert_eq!(fake.performed(), [(OperationAction::Create, cluster.to_string())]);
}

//! A kubeconfig for the cluster.

use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, ExecInteractiveMode, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};

use crate::world::ClusterFound;

/// A kubeconfig with one context, named as the cluster's ARN, as `aws eks update-kubeconfig` names it. `program` is what prints a
/// fresh token: every client that reads the file renews it by itself.
pub fn kubeconfig(found: &ClusterFound, name: &str, region: &str, program: &[String]) -> Option<Kubeconfig> {
    let (command, args) = program.split_first()?;
    let told = ["--cluster", name, "--region", region].map(str::to_owned);
    let exec = ExecConfig {
        api_version: Some("client.authentication.k8s.io/v1".into()),
        command: Some(command.clone()),
        args: Some(args.iter().cloned().chain(told).collect()),
        env: None,
        drop_env: None,
        install_hint: Some("wbk-infra signs in with the AWS credentials of this environment".into()),
        interactive_mode: Some(ExecInteractiveMode::Never),
        provide_cluster_info: false,
        cluster: None,
        other: Default::default(),
    };
    config(found, AuthInfo { exec: Some(exec), ..AuthInfo::default() })
}

/// The same with a token that serves for some minutes, for this process alone.
pub(crate) fn with_token(found: &ClusterFound, bearer: String) -> Option<Kubeconfig> {
    config(found, AuthInfo { token: Some(bearer.into()), ..AuthInfo::default() })
}

fn config(found: &ClusterFound, user: AuthInfo) -> Option<Kubeconfig> {
    let name = found.arn.clone();
    let cluster = Cluster {
        server: Some(found.endpoint.clone()?),
        certificate_authority_data: Some(found.authority.clone()?),
        ..Cluster::default()
    };
    let context = Context { cluster: name.clone(), user: Some(name.clone()), ..Context::default() };
    Some(Kubeconfig {
        api_version: Some("v1".into()),
        kind: Some("Config".into()),
        clusters: vec![NamedCluster { name: name.clone(), cluster: Some(cluster), other: Default::default() }],
        auth_infos: vec![NamedAuthInfo { name: name.clone(), auth_info: Some(user), other: Default::default() }],
        contexts: vec![NamedContext { name: name.clone(), context: Some(context), other: Default::default() }],
        current_context: Some(name),
        ..Kubeconfig::default()
    })
}

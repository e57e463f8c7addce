//! What there is of launch templates, and of what they name: the security group and the placement groups of fabric adapters.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{LaunchTemplateVersion, ResponseLaunchTemplateData};
use futures::future::try_join_all;
use wbk_provider_api::{PartId, Why};

use super::Template;
use super::read::template;
use crate::aws::Aws;
use crate::error::AwsError;
use crate::marks::{Marks, PART};
use crate::names::Names;
use crate::network::{fabric, tags_of};
use crate::part::{Found, Part, sort};

/// Versions that are asked for at once: EC2's largest page.
const PAGE: i32 = 200;

/// What EC2 answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    /// Security groups and placement groups.
    pub(crate) found: BTreeMap<PartId, Found>,
    /// Sorts that could not be seen, and why.
    pub(crate) unknown: BTreeMap<&'static str, Why>,
    templates: Vec<Answer>,
}

/// A launch template with its versions.
#[derive(Debug, Clone)]
struct Answer {
    id: String,
    part: String,
    tags: BTreeMap<String, String>,
    default: i64,
    versions: BTreeMap<i64, ResponseLaunchTemplateData>,
}

/// Looks: two lists by tags; then, where there is anything, the versions of each template and the placement groups. Both are made after the
/// security group and removed before it and the templates, so that there is none of them where there is nothing else.
pub(crate) async fn observe(aws: &Aws, marks: &Marks, wants_placement: bool) -> Answers {
    let (templates, groups) = futures::join!(templates(aws, marks), fabric::security_groups(aws, marks));
    let mut answers = Answers::default();
    match groups {
        Ok(found) => answers.found.extend(found),
        Err(error) => {
            answers.unknown.insert(sort::SECURITY_GROUP, error.why());
        }
    }
    match templates {
        Ok(templates) => answers.templates = templates,
        Err(error) => {
            answers.unknown.insert(sort::LAUNCH_TEMPLATE, error.why());
        }
    }
    if wants_placement || !answers.found.is_empty() || !answers.templates.is_empty() || !answers.unknown.is_empty() {
        match fabric::placement_groups(aws, marks).await {
            Ok(found) => answers.found.extend(found),
            Err(error) => {
                answers.unknown.insert(sort::PLACEMENT_GROUP, error.why());
            }
        }
    }
    answers
}

impl Answers {
    /// The templates as parts: what their default versions say.
    pub(crate) fn parts(&self, names: &Names) -> BTreeMap<PartId, Found> {
        let part = |one: &Answer| {
            let part = Part::LaunchTemplate(template(one.versions.get(&one.default)?, names));
            let found = Found { id: one.id.clone(), part, tags: one.tags.clone(), issues: Vec::new() };
            Some((PartId::new(sort::LAUNCH_TEMPLATE, &one.part), found))
        };
        self.templates.iter().filter_map(part).collect()
    }

    /// Every version of ours, by the template's id: the part's name, and what it says by number.
    pub(crate) fn versions(&self, names: &Names) -> BTreeMap<String, (String, BTreeMap<String, Template>)> {
        let told = |one: &Answer| {
            let versions = one.versions.iter().map(|(number, data)| (number.to_string(), template(data, names)));
            (one.id.clone(), (one.part.clone(), versions.collect()))
        };
        self.templates.iter().map(told).collect()
    }
}

async fn templates(aws: &Aws, marks: &Marks) -> Result<Vec<Answer>, AwsError> {
    let request = aws.ec2.describe_launch_templates().set_filters(Some(crate::network::ours(marks)));
    let pages = request.into_paginator().items().send();
    let found = pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk("describe launch templates"))?;
    let ours = found.into_iter().filter_map(|one| {
        let tags = tags_of(one.tags());
        let part = tags.get(PART).filter(|_| marks.are_on(&tags)).cloned()?;
        Some((one.launch_template_id?, part, tags, one.default_version_number?))
    });
    try_join_all(ours.map(|(id, part, tags, default)| async move {
        let versions = versions(aws, &id).await?;
        let versions = versions.into_iter().filter_map(|one| Some((one.version_number?, one.launch_template_data?)));
        Ok(Answer { id, part, tags, default, versions: versions.collect() })
    }))
    .await
}

/// All versions of a template.
pub(super) async fn versions(aws: &Aws, id: &str) -> Result<Vec<LaunchTemplateVersion>, AwsError> {
    let request = aws.ec2.describe_launch_template_versions().launch_template_id(id).max_results(PAGE);
    let pages = request.into_paginator().items().send();
    let attempted = format!("read the versions of the launch template {id}");
    pages.collect::<Result<Vec<_>, _>>().await.map_err(AwsError::sdk(attempted))
}

//! A plan for a pull request.

use super::cost::plan_cost_lines;
use super::plan_human::field_line;
use crate::plan::{Plan, Summary};

/// The plan as Markdown.
pub fn plan_markdown(plan: &Plan) -> String {
    let mut text = format!("### wbk-infra plan: {}\n\n{}.\n", plan.blueprint, Summary::of(plan));
    if !plan.steps.is_empty() {
        text.push_str("\n| | change | why |\n|---|---|---|\n");
        for step in &plan.steps {
            text.push_str(&format!("| {} | `{}` | {} |\n", step.action.word(), step.target, cell(&step.reason)));
        }
        let with_fields: Vec<_> = plan.steps.iter().filter(|step| !step.diff.is_empty()).collect();
        if !with_fields.is_empty() {
            text.push_str("\n<details><summary>Fields</summary>\n\n```diff\n");
            for step in with_fields {
                text.push_str(&format!("  {}\n", step.target));
                for field in &step.diff {
                    text.push_str(&format!("! {}\n", field_line(field)));
                }
            }
            text.push_str("```\n\n</details>\n");
        }
    }
    if !plan.not_planned.is_empty() {
        text.push_str("\n**Not planned**\n\n| what | why |\n|---|---|\n");
        for entry in &plan.not_planned {
            text.push_str(&format!("| `{}` | {} |\n", entry.what, cell(&entry.reason)));
        }
    }
    if !plan.leaves_broken.is_empty() {
        text.push_str("\n**Left broken**\n\n| what | why | fix |\n|---|---|---|\n");
        for broken in &plan.leaves_broken {
            let why = broken.chain.last().map(|link| link.says.as_str()).unwrap_or_default();
            text.push_str(&format!("| {} | {} | {} |\n", cell(&broken.what), cell(why), cell(&broken.fix)));
        }
    }
    if let Some(cost) = &plan.cost {
        let mut lines = plan_cost_lines(cost).into_iter();
        text.push_str(&format!("\n**{}**\n\n", lines.next().unwrap_or_default()));
        for line in lines {
            text.push_str(&format!("- {}\n", line.trim_start()));
        }
    }
    for advice in &plan.advice {
        text.push_str(&format!("\n> `{}`: {}; {}\n", advice.about, advice.says, advice.hint));
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

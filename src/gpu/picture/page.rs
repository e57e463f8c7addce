//! The picture on a page of its own, with every broken chain and its fix in words.

use super::super::closure::{Broken, Proof, Standing};
use super::draw::svg;
use crate::markup::escape;

/// One self-contained page.
pub fn html(proof: &Proof) -> String {
    let count = |standing| proof.workloads.iter().filter(|workload| workload.standing == standing).count();
    let (class, verdict) = match proof.broken.len() {
        0 => ("good", format!("Proven: {} workloads can run.", count(Standing::Runs))),
        1 => ("bad", "Broken: 1 chain.".to_owned()),
        many => ("bad", format!("Broken: {many} chains.")),
    };
    let chains: String = proof.broken.iter().map(chain).collect();
    let unseen: String =
        proof.unseen.iter().map(|one| format!("<li><b>{}</b>: {}</li>", escape(&one.what), escape(&one.why))).collect();
    let unseen = if unseen.is_empty() { unseen } else { format!("<h2>Not looked at</h2><ul>{unseen}</ul>") };
    let doubts = match count(Standing::Unknown) {
        0 => String::new(),
        doubts => format!(" Of {doubts} it cannot be said."),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Closure proof of {name}</title><style>{STYLE}</style></head><body>\n<h1>Closure proof of {name}</h1>\n<p class=\"verdict {class}\">{verdict}{doubts}</p>\n{chains}<p class=\"legend\"><span class=\"yes\">━</span> can run there <span class=\"no\">╍</span> breaks there <span class=\"perhaps\">┄</span> cannot be said <span class=\"taint\">taint</span> <span class=\"late\">label that arrives after birth ← its writer</span> <span class=\"resource\">what a node offers</span></p>\n<div class=\"picture\">{picture}</div>\n{unseen}</body></html>\n",
        name = escape(&proof.platform),
        picture = svg(proof),
    )
}

fn chain(broken: &Broken) -> String {
    let links: String = broken
        .chain
        .iter()
        .map(|link| {
            let class = if link.holds { "holds" } else { "breaks" };
            format!("<li class=\"{class}\">{}</li>", escape(&link.says))
        })
        .collect();
    let at = broken.at.as_ref().map(|at| format!(" <code>{}</code>", escape(at))).unwrap_or_default();
    format!(
        "<section class=\"chain\"><h3>{}{at}</h3><ol>{links}</ol><p><b>Fix:</b> {}</p></section>\n",
        escape(&broken.what),
        escape(&broken.fix)
    )
}

const STYLE: &str = "
body{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;margin:28px auto;max-width:1300px;padding:0 20px;color:#10161d;background:#f3f5f8;line-height:1.45}
h1{font-size:24px;margin:0 0 8px}
h2{font-size:18px}
h3{font-size:15px;margin:0 0 6px}
code{font-size:13px;color:#5b6775;font-weight:400}
.verdict{font-size:17px;font-weight:600;padding:10px 14px;border-radius:8px}
.good{background:#e2f4ea;color:#0d5a38}
.bad{background:#fde7e7;color:#8e1b1b}
.chain{background:#fff;border:1px solid #e3b5b5;border-left:5px solid #c62828;border-radius:8px;padding:12px 16px;margin:12px 0}
.chain ol{margin:6px 0;padding-left:4px;list-style:none}
.holds::before{content:'✓ ';color:#1a8f5a;font-weight:700}
.breaks{color:#c62828;font-weight:600}
.breaks::before{content:'✗ '}
.chain p{margin:6px 0 0}
.picture{background:#fbfcfd;border:1px solid #d5dce4;border-radius:10px;overflow-x:auto}
.picture svg{display:block;max-width:100%;height:auto}
.legend{font-size:13px;color:#5b6775}
.legend span{margin-left:14px}
.legend .yes{color:#1a8f5a}.legend .no{color:#c62828}.legend .perhaps{color:#b88a00}
.legend .taint{color:#a35200}.legend .late{color:#0b6b53}.legend .resource{color:#123f8a}
";

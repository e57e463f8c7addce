//! Quirk: service quotas of EC2. moto has none for EC2 (500 for the list, NoSuchResource for one), so the stand answers itself, with
//! values that a test can set. Names and codes are AWS's (docs.aws.amazon.com/ec2, "Amazon EC2 instance type quotas").

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json_answer};

/// Code, name, and the vCPUs of an account that GPUs were granted to; a new account has 5 and no GPUs.
const QUOTAS: [(&str, &str, f64); 6] = [
    ("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 640.0),
    ("L-DB2E81BA", "Running On-Demand G and VT instances", 768.0),
    ("L-417A185B", "Running On-Demand P instances", 768.0),
    ("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 640.0),
    ("L-3819A6DF", "All G and VT Spot Instance Requests", 768.0),
    ("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", 768.0),
];

/// The values that were set.
#[derive(Default)]
pub(super) struct Quotas {
    set: Mutex<BTreeMap<String, f64>>,
}

impl Quotas {
    /// Sets one by its code.
    pub(super) fn set(&self, code: &str, value: f64) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).insert(code.into(), value);
    }

    pub(super) fn clear(&self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The answer to what was asked about EC2; `None` for other services, and for operations that read no value.
    pub(super) fn answer(&self, operation: &str, body: &[u8], region: &str) -> Option<Answer> {
        let asked: Value = serde_json::from_slice(body).ok()?;
        if asked["ServiceCode"] != "ec2" {
            return None;
        }
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let default = operation == "GetAWSDefaultServiceQuota" || operation == "ListAWSDefaultServiceQuotas";
        let quota = |(code, name, value): &(&str, &str, f64)| {
            let value = set.get(*code).filter(|_| !default).unwrap_or(value);
            json!({
                "ServiceCode": "ec2", "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
                "QuotaArn": format!("arn:aws:servicequotas:{region}:123456789012:ec2/{code}"),
                "QuotaCode": code, "QuotaName": name, "Value": value, "Unit": "None", "Adjustable": true, "GlobalQuota": false,
            })
        };
        match operation {
            "GetServiceQuota" | "GetAWSDefaultServiceQuota" => {
                let found = QUOTAS.iter().find(|(code, ..)| asked["QuotaCode"] == *code);
                Some(found.map_or_else(
                    || {
                        Refusal::new(
                            "NoSuchResourceException",
                            "The request failed because the specified quota does not exist.",
                        )
                        .answer()
                    },
                    |found| json_answer(StatusCode::OK, &json!({"Quota": quota(found)})),
                ))
            }
            "ListServiceQuotas" | "ListAWSDefaultServiceQuotas" => {
                let all: Vec<Value> = QUOTAS.iter().map(quota).collect();
                Some(json_answer(StatusCode::OK, &json!({"Quotas": all})))
            }
            _ => None,
        }
    }
}

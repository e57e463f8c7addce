//! Every request that came, in order.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::StandError;
use crate::asked::Asked;

/// A request and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// The service as signatures spell it: `eks`, `iam`, `sts`, `ec2`.
    pub service: String,
    /// AWS's name of the operation, `DescribeCluster`.
    pub operation: String,
    /// The cluster that it was about, where its path says one.
    pub cluster: Option<String>,
    /// The thing of that cluster: a node group, an add-on.
    pub child: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// The answer's error, `ResourceInUseException`, where it was one of EKS.
    pub error: Option<String>,
}

/// The log of them, and a file where one was asked for.
pub(crate) struct Requests {
    all: Mutex<Vec<Request>>,
    file: Option<Mutex<std::fs::File>>,
}

impl Requests {
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, StandError> {
        let file =
            file.map(|path| std::fs::File::create(path).map_err(StandError::file("create", path))).transpose()?;
        Ok(Self { all: Mutex::default(), file: file.map(Mutex::new) })
    }

    pub(crate) fn note(&self, asked: &Asked, status: u16, error: Option<String>) {
        let request = Request {
            service: asked.service.clone(),
            operation: asked.operation.clone(),
            cluster: asked.eks.as_ref().and_then(|call| call.cluster.clone()),
            child: asked.eks.as_ref().and_then(|call| call.child.clone()),
            status,
            error,
        };
        if let Some(file) = &self.file {
            let line = serde_json::to_string(&request).expect("a request is plain data");
            // The file is for people; what is asserted on is in memory.
            let _ = writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
        }
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }

    pub(crate) fn all(&self) -> Vec<Request> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn clear(&self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

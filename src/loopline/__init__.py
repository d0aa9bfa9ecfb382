"""The machine-learning lifecycle as code, on Kubeflow Pipelines, Argo, KServe and Triton."""

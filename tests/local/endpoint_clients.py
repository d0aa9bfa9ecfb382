"""Calls a running endpoint with KServe's clients, in a process of its own: their protobufs clash with tritonclient's.

python endpoint_clients.py PORT MODEL ROW      prints the scores by protocol, as JSON
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

TYPES = {str: ("BYTES", object), int: ("INT64", np.int64), float: ("FP64", np.float64)}


def tensor(name, value):
    datatype, dtype = TYPES[type(value)]
    made = InferInput(name, [1, 1], datatype)
    made.set_data_from_numpy(np.array([[value]], dtype=dtype), binary_data=False)
    return made


async def main(port, model, row):
    url = f"http://127.0.0.1:{port}"
    request = InferRequest(model_name=model, infer_inputs=[tensor(name, value) for name, value in row.items()])
    v1 = await InferenceRESTClient(RESTConfig(protocol="v1")).infer(url, {"instances": [row]}, model_name=model)
    v2 = await InferenceRESTClient(RESTConfig(protocol="v2")).infer(url, request, model_name=model)
    grpc = await InferenceGRPCClient(url=f"127.0.0.1:{port}").infer(request)
    [prediction] = v1["predictions"]
    score = next(value for value in prediction.values() if isinstance(value, float))
    return {"v1": score, "v2": v2.outputs[0].as_numpy().item(), "grpc": grpc.outputs[0].as_numpy().item()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))))

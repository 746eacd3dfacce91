"""The parts of the published protocol (docs/METHOD.md), each done a few times: all of it takes
minutes. What one part takes, times how often the protocol does it, is what the whole takes."""

import time

import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import calinski_harabasz_score, silhouette_score
from sklearn.preprocessing import StandardScaler

import lens

# How often each part is done; the middle one of the times is taken.
TIMES = 5

# Questions of each of the three cases.
PER_CASE = 100


def parts(task, state):
    model = lens.load(state)
    n_ctx = task["n_ctx"]
    questions = torch.tensor(task["questions"]).view(-1, n_ctx)
    means = lens.means(model, questions)
    residual = [n for n in means if n.endswith("hook_resid_post")]
    labels = [case for case in range(3) for _ in range(PER_CASE)]
    cases = questions.repeat(3 * PER_CASE // len(questions) + 1, 1)[: 3 * PER_CASE]
    position, head = task["position"], 0

    def overwrite_position():
        def overwrite(activation, hook):
            activation[:, position] = means[hook.name][position]
            return activation

        model.run_with_hooks(questions, fwd_hooks=[(name, overwrite) for name in residual])

    def overwrite_node():
        name = lens.hook_point(0, head)
        lens.with_node(model, questions, (position, 0, head), means[name][position, head])

    def attention():
        model.run_with_cache(questions, names_filter=lambda name: name.endswith("hook_pattern"))

    def cluster():
        _, cache = model.run_with_cache(cases, names_filter="blocks.0.attn.hook_z")
        result = cache["blocks.0.attn.hook_z"][:, position, head] @ state["blocks.0.attn.W_O"][head]
        points = PCA(n_components=6).fit_transform(result.numpy())
        points = StandardScaler().fit_transform(points)
        for clusters in [2, 3]:
            found = KMeans(clusters, n_init=10, random_state=0).fit_predict(points)
            silhouette_score(points, found)
            calinski_harabasz_score(points, found)
            sum(max(labels.count(l) for l in set(labels)) for _ in range(clusters))

    def patch():
        lens.patch_one_by_one(model, [(questions[0], questions[1], (position, 0, head))])

    def run():
        seconds = {}
        for part in [overwrite_position, overwrite_node, attention, cluster, patch]:
            taken = []
            for _ in range(TIMES):
                start = time.perf_counter()
                part()
                taken.append(time.perf_counter() - start)
            seconds[part.__name__] = sorted(taken)[TIMES // 2]
        return seconds

    return run

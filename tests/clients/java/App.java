import java.io.File;
import java.nio.file.Files;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.mlflow.api.proto.Service.Metric;
import org.mlflow.api.proto.Service.Param;
import org.mlflow.api.proto.Service.Run;
import org.mlflow.api.proto.Service.RunTag;
import org.mlflow.api.proto.Service.ViewType;
import org.mlflow.tracking.MlflowClient;
import org.mlflow.tracking.MlflowHttpException;
import org.mlflow.tracking.creds.BasicMlflowHostCreds;

/** A day with MLflow's Java client. Each call prints a line: its name, a tab, what came back. */
public class App {
    public static void main(String[] args) throws Exception {
        // The lines of the console: they declare `client`.
        switch (args[0]) {
            case "work" -> work(client, args[1], args[2], new File(args[3]));
            case "look" -> look(client, args[1], args[2], args[3], args[4]);
            default -> throw new IllegalArgumentException(args[0]);
        }
        client.close();
    }

    private static void work(MlflowClient client, String name, String model, File file)
            throws Exception {
        String experiment = client.createExperiment(name);
        say("experiment", experiment);
        client.setExperimentTag(experiment, "team", "java");
        String run = client.createRun(experiment).getRunId();
        say("run", run);
        client.logParam(run, "depth", "3");
        client.logMetric(run, "loss", 0.5);
        client.logMetric(run, "loss", 0.25, System.currentTimeMillis(), 1);
        client.logMetric(run, "odd", Double.NaN);
        client.setTag(run, "kind", "baseline");
        client.setTag(run, "gone", "soon");
        client.deleteTag(run, "gone");
        client.logBatch(
            run,
            List.of(Metric.newBuilder().setKey("accuracy").setValue(0.9).setTimestamp(1).build()),
            List.of(Param.newBuilder().setKey("width").setValue("7").build()),
            List.of(RunTag.newBuilder().setKey("batch").setValue("yes").build()));
        client.setTerminated(run);

        Run found = client.getRun(run);
        say("status", found.getInfo().getStatus());
        say("metrics", found.getData().getMetricsList().stream()
            .map(m -> m.getKey() + "=" + m.getValue()).sorted().collect(Collectors.toList()));
        say("params", found.getData().getParamsList().stream()
            .map(p -> p.getKey() + "=" + p.getValue()).sorted().collect(Collectors.toList()));
        say("tags", found.getData().getTagsList().stream()
            .map(t -> t.getKey() + "=" + t.getValue()).sorted().collect(Collectors.toList()));
        say("history", client.getMetricHistory(run, "loss").stream()
            .map(Metric::getValue).collect(Collectors.toList()));
        say("searchRuns", client.searchRuns(
            List.of(experiment), "metrics.loss < 0.3", ViewType.ACTIVE_ONLY, 10,
            List.of("metrics.accuracy DESC")).getItems().stream()
            .map(r -> r.getInfo().getRunId()).collect(Collectors.toList()));
        say("searchExperiments", client.searchExperiments("name = '" + name + "'").getItems()
            .stream().map(e -> e.getExperimentId()).collect(Collectors.toList()));
        say("getExperimentByName", client.getExperimentByName(name).get().getExperimentId());
        say("getExperimentByName of none", client.getExperimentByName(name + "-no").isPresent());
        client.renameExperiment(experiment, name + "-renamed");
        say("getExperiment", client.getExperiment(experiment).getName());
        client.deleteRun(run);
        client.restoreRun(run);
        client.deleteExperiment(experiment);
        client.restoreExperiment(experiment);

        client.logArtifact(run, file, "texts");
        say("listArtifacts", client.listArtifacts(run, "texts").stream()
            .map(f -> f.getPath() + " " + f.getFileSize()).collect(Collectors.toList()));
        File back = client.downloadArtifacts(run, "texts/" + file.getName());
        say("downloadArtifacts", Files.readString(back.toPath()));

        // The client reads the registry, and has no methods that write it.
        String source = client.getRun(run).getInfo().getArtifactUri() + "/texts";
        client.sendPost("registered-models/create", "{\"name\": \"" + model + "\"}");
        client.sendPost("model-versions/create", "{\"name\": \"" + model + "\", \"source\": \""
            + source + "\", \"run_id\": \"" + run + "\"}");
        client.sendPatch("registered-models/update",
            "{\"name\": \"" + model + "\", \"description\": \"from Java\"}");
        say("getRegisteredModel", client.getRegisteredModel(model).getDescription());
        say("getLatestVersions", client.getLatestVersions(model, List.of("None")).stream()
            .map(v -> v.getVersion()).collect(Collectors.toList()));
        say("getModelVersion", client.getModelVersion(model, "1").getRunId());
        say("getModelVersionDownloadUri", client.getModelVersionDownloadUri(model, "1"));
        say("searchModelVersions", client.searchModelVersions("name = '" + model + "'").getItems()
            .stream().map(v -> v.getVersion()).collect(Collectors.toList()));
        File version = client.downloadModelVersion(model, "1");
        say("downloadModelVersion", List.of(version.list()));
    }

    private static void look(
            MlflowClient client, String name, String experiment, String run, String model) {
        ask("getRun", () -> client.getRun(run).getInfo().getRunId());
        ask("getMetricHistory", () -> client.getMetricHistory(run, "loss").size());
        ask("getExperiment", () -> client.getExperiment(experiment).getName());
        ask("createRun", () -> client.createRun(experiment).getRunId());
        ask("logMetric", () -> {
            client.logMetric(run, "loss", 7.0);
            return "logged";
        });
        ask("getRegisteredModel", () -> client.getRegisteredModel(model).getName());
        ask("getModelVersion", () -> client.getModelVersion(model, "1").getSource());
        ask("getLatestVersions", () -> client.getLatestVersions(model).size());
        ask("createExperiment", () -> client.createExperiment(name));
        ask("getExperimentByName", () -> client.getExperimentByName(name).isPresent());
        ask("searchRuns", () -> client.searchRuns(List.of(experiment), "").size());
        ask("searchExperiments", () -> client.searchExperiments().getItems().stream()
            .filter(e -> e.getExperimentId().equals(experiment)).count());
        ask("searchModelVersions", () -> client.searchModelVersions().getItems().stream()
            .filter(v -> v.getName().equals(model)).count());
    }

    private static void ask(String call, Supplier<Object> answer) {
        try {
            say(call, answer.get());
        } catch (MlflowHttpException refused) {
            say(call, refused.getStatusCode() + " " + refused.getBodyMessage());
        }
    }

    private static void say(String what, Object answer) {
        System.out.println(what + "\t" + answer);
    }
}

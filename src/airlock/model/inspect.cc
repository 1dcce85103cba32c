#include "airlock/model/inspect.h"

#include <iterator>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

namespace airlock {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// "1.24 B", "106.6 K".
std::string count_text(std::int64_t count) {
  const auto value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.2f} B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.2f} M", value / 1e6);
  return fmt::format("{:.1f} K", value / 1e3);
}

/// "2357.2 MiB".
std::string mib_text(std::int64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::string rope_text(const ModelConfig& config) {
  std::string text = fmt::format("theta {:g}", config.rope_theta);
  if (config.rope_scaling) {
    const Llama3RopeScaling& s = *config.rope_scaling;
    text += fmt::format(", llama3 scaling factor {:g} (low {:g}, high {:g}, original {})", s.factor,
                        s.low_freq_factor, s.high_freq_factor, s.original_max_position);
  }
  return text;
}

}  // namespace

CheckpointSummary inspect(const Checkpoint& checkpoint, const InspectOptions& options) {
  CheckpointSummary summary;
  summary.dir = checkpoint.dir().string();
  summary.config = checkpoint.config();
  summary.files = checkpoint.files();
  summary.warnings = checkpoint.warnings();
  summary.parameters = summary.config.parameters();
  for (const TensorEntry& tensor : checkpoint.table()) {
    const TensorSpec spec = checkpoint.spec(tensor.weight, tensor.layer);
    ++summary.tensors;
    ++summary.tensors_by_dtype[spec.dtype];
    summary.bytes += spec.bytes();
  }
  for (const CheckpointFile& file : summary.files) summary.other_tensors += file.tensors;
  summary.other_tensors -= summary.tensors;
  if (options.fingerprint) {
    summary.fingerprint = compute_fingerprint(checkpoint, options.progress, options.stop);
  }
  return summary;
}

std::string to_text(const CheckpointSummary& summary) {
  const ModelConfig& c = summary.config;
  std::string text;
  const auto line = [&](std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(text), "{:<14}{}\n", name, value);
  };
  line("checkpoint", summary.dir);
  line("architecture", fmt::format("llama, {} layers", c.layers));
  line("parameters", fmt::format("{} ({})", count_text(summary.parameters), summary.parameters));
  line("hidden", fmt::format("{}", c.hidden));
  line("attention",
       fmt::format("{} heads, {} key/value heads, head_dim {}", c.heads, c.kv_heads, c.head_dim));
  line("ffn", fmt::format("{}", c.ffn));
  line("vocabulary",
       fmt::format("{}, {} embeddings", c.vocab, c.tie_embeddings ? "tied" : "untied"));
  line("context", fmt::format("{} tokens", c.max_position));
  line("rope", rope_text(c));
  line("bos, eos",
       fmt::format("{}, [{}]", c.bos ? std::to_string(*c.bos) : "none", fmt::join(c.eos, ", ")));
  std::string tensors = fmt::format("{}, {}", summary.tensors, mib_text(summary.bytes));
  for (const auto& [dtype, count] : summary.tensors_by_dtype) {
    tensors += fmt::format(", {} {}", count, dtype_name(dtype));
  }
  if (summary.other_tensors > 0) tensors += fmt::format("; {} unused", summary.other_tensors);
  line("tensors", tensors);
  for (const CheckpointFile& file : summary.files) {
    line("file", fmt::format("{}, {}, {} tensors", file.name, mib_text(file.bytes), file.tensors));
  }
  if (summary.fingerprint) line("fingerprint", to_hex(*summary.fingerprint));
  for (const std::string& warning : summary.warnings) line("warning", warning);
  return text;
}

std::string to_json(const CheckpointSummary& summary) {
  const ModelConfig& c = summary.config;
  OrderedJson json = {
      {"dir", summary.dir},
      {"architecture", "llama"},
      {"parameters", summary.parameters},
      {"layers", c.layers},
      {"hidden", c.hidden},
      {"heads", c.heads},
      {"kv_heads", c.kv_heads},
      {"head_dim", c.head_dim},
      {"ffn", c.ffn},
      {"vocab", c.vocab},
      {"max_position", c.max_position},
      {"tie_embeddings", c.tie_embeddings},
      {"rms_norm_eps", c.rms_norm_eps},
      {"rope_theta", c.rope_theta},
      {"rope_scaling", nullptr},
      {"bos", nullptr},
      {"eos", c.eos},
      {"tensors", summary.tensors},
      {"other_tensors", summary.other_tensors},
      {"bytes", summary.bytes},
      {"tensors_by_dtype", OrderedJson::object()},
      {"files", OrderedJson::array()},
      {"fingerprint", nullptr},
      {"warnings", summary.warnings},
  };
  if (c.rope_scaling) {
    json["rope_scaling"] = {{"type", "llama3"},
                            {"factor", c.rope_scaling->factor},
                            {"low_freq_factor", c.rope_scaling->low_freq_factor},
                            {"high_freq_factor", c.rope_scaling->high_freq_factor},
                            {"original_max_position", c.rope_scaling->original_max_position}};
  }
  if (c.bos) json["bos"] = *c.bos;
  for (const auto& [dtype, count] : summary.tensors_by_dtype) {
    json["tensors_by_dtype"][std::string(dtype_name(dtype))] = count;
  }
  for (const CheckpointFile& file : summary.files) {
    json["files"].push_back(
        {{"name", file.name}, {"bytes", file.bytes}, {"tensors", file.tensors}});
  }
  if (summary.fingerprint) json["fingerprint"] = to_hex(*summary.fingerprint);
  // A folder's name need not be UTF-8.
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace airlock

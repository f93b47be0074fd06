#include "worker/model/model_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/json_file.h"
#include "base/core/status.h"
#include "kernels/sampling/fixed_math.h"
#include "kernels/shape_check.h"

namespace quire::worker {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxContext = 1 << 24;
constexpr double kMaxRopeFactor = 1024.0;

absl::Status Refuse(const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("config.json: ", what));
}

const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

absl::Status ReadInt(const Json& object, const char* key, int64_t min, int64_t max, int64_t& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return Refuse(absl::StrCat(key, " is missing"));
  if (!value->is_number_integer()) return Refuse(absl::StrCat(key, " is not an integer"));
  // An unsigned value beyond int64 reads as negative here and is refused by the range.
  out = value->get<int64_t>();
  if (out < min || out > max) {
    return Refuse(absl::StrCat(key, " is ", out, "; it must be in ", min, "..", max));
  }
  return absl::OkStatus();
}

// Numbers beyond these are no model's, and reach infinity or 0 in the floats that are computed with.
struct Bounds {
  double least = 1e-12, most = 1e6;
};

absl::Status ReadPositive(const Json& object, const char* key, double& out, Bounds range = {}) {
  const Json* value = Find(object, key);
  if (value == nullptr) return Refuse(absl::StrCat(key, " is missing"));
  if (!value->is_number()) return Refuse(absl::StrCat(key, " is not a number"));
  out = value->get<double>();
  if (!std::isfinite(out) || out <= 0.0)
    return Refuse(absl::StrCat(key, " is ", out, "; it must be above 0"));
  if (out < range.least || out > range.most) {
    return Refuse(absl::StrCat(key, " is ", out, "; it must be in ", range.least, "..", range.most));
  }
  return absl::OkStatus();
}

absl::Status ReadPositiveOr(const Json& object, const char* key, double fallback, double& out,
                            Bounds range = {}) {
  out = fallback;
  return Find(object, key) == nullptr ? absl::OkStatus() : ReadPositive(object, key, out, range);
}

absl::Status ReadBoolOr(const Json& object, const char* key, bool fallback, bool& out) {
  out = fallback;
  const Json* value = Find(object, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_boolean()) return Refuse(absl::StrCat(key, " is not true or false"));
  out = value->get<bool>();
  return absl::OkStatus();
}

// A string at `key`, or "" where there is none.
absl::StatusOr<std::string> ReadString(const Json& object, const char* key) {
  const Json* value = Find(object, key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return Refuse(absl::StrCat(key, " is not a string"));
  return value->get<std::string>();
}

absl::StatusOr<Architecture> ReadArchitecture(const Json& root) {
  const Json* names = Find(root, "architectures");
  if (names == nullptr || !names->is_array() || names->size() != 1 || !names->front().is_string()) {
    return Refuse("architectures must name one architecture");
  }
  const std::string name = names->front().get<std::string>();
  if (const Architecture* architecture = FindArchitecture(name)) return *architecture;
  return Refuse(absl::StrCat("architecture ", name, " is not supported; these are: ", ArchitectureNames()));
}

absl::Status ReadShape(const Json& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadInt(root, "vocab_size", 1, 1 << 22, config.vocab));
  QUIRE_RETURN_IF_ERROR(ReadInt(root, "hidden_size", 2, 1 << 17, config.hidden));
  QUIRE_RETURN_IF_ERROR(ReadInt(root, "num_hidden_layers", 1, 1 << 12, config.layers));
  QUIRE_RETURN_IF_ERROR(ReadInt(root, "intermediate_size", 2, 1 << 20, config.ffn));
  QUIRE_RETURN_IF_ERROR(ReadInt(root, "num_attention_heads", 1, 1 << 12, config.query_heads));
  config.kv_heads = config.query_heads;
  if (Find(root, "num_key_value_heads") != nullptr) {
    QUIRE_RETURN_IF_ERROR(ReadInt(root, "num_key_value_heads", 1, 1 << 12, config.kv_heads));
  }
  if (config.query_heads % config.kv_heads != 0) {
    return Refuse(absl::StrCat("num_attention_heads (", config.query_heads,
                               ") is not a multiple of num_key_value_heads (", config.kv_heads, ")"));
  }
  if (Find(root, "head_dim") != nullptr) {
    QUIRE_RETURN_IF_ERROR(ReadInt(root, "head_dim", 2, 1 << 10, config.head_dim));
  } else if (config.architecture.head_dim > 0) {
    config.head_dim = config.architecture.head_dim;
  } else if (config.hidden % config.query_heads == 0) {
    config.head_dim = config.hidden / config.query_heads;
  } else {
    return Refuse("hidden_size is not a multiple of num_attention_heads and there is no head_dim");
  }
  if (config.head_dim % 2 != 0) return Refuse("head_dim is odd, so it can't be rotated in pairs");
  if (config.head_dim > kernels::kMaxHeadDim) {
    return Refuse(
        absl::StrCat("head_dim is ", config.head_dim, "; at most ", kernels::kMaxHeadDim, " is supported"));
  }
  if (config.hidden % 2 != 0 || config.ffn % 2 != 0) {
    return Refuse("hidden_size and intermediate_size must be even");
  }
  return absl::OkStatus();
}

absl::Status CheckRotaryPart(const Json& object) {
  double partial = 1.0;
  QUIRE_RETURN_IF_ERROR(ReadPositiveOr(object, "partial_rotary_factor", 1.0, partial));
  if (partial != 1.0) return Refuse("partial_rotary_factor other than 1 is not supported");
  return absl::OkStatus();
}

// What would make a model compute something else than this program does.
absl::Status CheckUnsupported(const Json& root, ModelConfig& config) {
  if (Find(root, "quantization_config") != nullptr) {
    return Refuse("quantization_config is set; quantized checkpoints are not supported, use the bf16 one");
  }
  QUIRE_ASSIGN_OR_RETURN(const std::string activation, ReadString(root, "hidden_act"));
  if (activation != "silu" && !activation.empty()) {
    return Refuse(absl::StrCat("hidden_act is ", activation, "; only silu is supported"));
  }
  const Architecture& architecture = config.architecture;
  bool sliding = false, attention_bias = false, mlp_bias = false;
  const bool window_named = Find(root, "sliding_window") != nullptr;
  QUIRE_RETURN_IF_ERROR(
      ReadBoolOr(root, "use_sliding_window", window_named && !architecture.window_needs_flag, sliding));
  if (sliding) return Refuse("a sliding window is in use; only full attention is supported");
  if (const Json* types = Find(root, "layer_types"); types != nullptr) {
    if (!types->is_array()) return Refuse("layer_types is not a list");
    for (const Json& type : *types) {
      if (type != "full_attention") return Refuse("layer_types names something else than full_attention");
    }
  }
  QUIRE_RETURN_IF_ERROR(ReadBoolOr(root, "attention_bias", false, attention_bias));
  QUIRE_RETURN_IF_ERROR(ReadBoolOr(root, "mlp_bias", false, mlp_bias));
  if (!architecture.qkv_bias && (attention_bias || mlp_bias)) {
    return Refuse(
        absl::StrCat("attention_bias and mlp_bias are not supported for ", std::string(architecture.name)));
  }
  return CheckRotaryPart(root);
}

double DefaultAttentionFactor(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * kernels::LogOfPositive(factor) + 1.0;
}

absl::Status ReadYarn(const Json& rope, RopeScaling& scaling) {
  QUIRE_RETURN_IF_ERROR(ReadPositiveOr(rope, "beta_fast", 32.0, scaling.beta_fast));
  QUIRE_RETURN_IF_ERROR(ReadPositiveOr(rope, "beta_slow", 1.0, scaling.beta_slow));
  QUIRE_RETURN_IF_ERROR(ReadBoolOr(rope, "truncate", true, scaling.truncate));
  double fallback = DefaultAttentionFactor(scaling.factor, 1.0);
  if (Find(rope, "mscale") != nullptr && Find(rope, "mscale_all_dim") != nullptr) {
    double mscale = 1.0, mscale_all_dim = 1.0;
    QUIRE_RETURN_IF_ERROR(ReadPositive(rope, "mscale", mscale));
    QUIRE_RETURN_IF_ERROR(ReadPositive(rope, "mscale_all_dim", mscale_all_dim));
    fallback = DefaultAttentionFactor(scaling.factor, mscale) /
               DefaultAttentionFactor(scaling.factor, mscale_all_dim);
  }
  return ReadPositiveOr(rope, "attention_factor", fallback, scaling.attention_factor,
                        {.least = 1e-3, .most = 100.0});
}

absl::Status ReadLlama3(const Json& rope, RopeScaling& scaling) {
  QUIRE_RETURN_IF_ERROR(ReadPositive(rope, "low_freq_factor", scaling.low_freq_factor));
  QUIRE_RETURN_IF_ERROR(ReadPositive(rope, "high_freq_factor", scaling.high_freq_factor));
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    return Refuse("rope scaling: high_freq_factor must be above low_freq_factor");
  }
  return absl::OkStatus();
}

// A member that nobody reads would mean something to transformers, such as a RoPE for each type of layer.
absl::Status CheckRopeMembers(const Json& rope) {
  static constexpr std::string_view kKnown[] = {"rope_type",
                                                "type",
                                                "rope_theta",
                                                "factor",
                                                "beta_fast",
                                                "beta_slow",
                                                "truncate",
                                                "mscale",
                                                "mscale_all_dim",
                                                "attention_factor",
                                                "low_freq_factor",
                                                "high_freq_factor",
                                                "original_max_position_embeddings",
                                                "partial_rotary_factor"};
  for (const auto& [key, value] : rope.items()) {
    if (std::find(std::begin(kKnown), std::end(kKnown), key) == std::end(kKnown)) {
      return Refuse(absl::StrCat("rope scaling: ", key, " is not supported"));
    }
  }
  return CheckRotaryPart(rope);
}

// `rope` is rope_scaling, or rope_parameters as newer transformers write it.
absl::StatusOr<RopeScaling> ReadRopeScaling(const Json& rope, int64_t max_positions) {
  RopeScaling scaling;
  QUIRE_RETURN_IF_ERROR(CheckRopeMembers(rope));
  QUIRE_ASSIGN_OR_RETURN(std::string type, ReadString(rope, "rope_type"));
  if (type.empty()) {
    QUIRE_ASSIGN_OR_RETURN(type, ReadString(rope, "type"));
  }
  if (type.empty() || type == "default") return scaling;
  if (type != "yarn" && type != "llama3") {
    return Refuse(absl::StrCat("rope scaling of type ", type, " is not supported; yarn and llama3 are"));
  }
  scaling.kind = type == "yarn" ? RopeScaling::Kind::kYarn : RopeScaling::Kind::kLlama3;
  QUIRE_RETURN_IF_ERROR(
      ReadPositive(rope, "factor", scaling.factor, {.least = 1e-3, .most = kMaxRopeFactor}));
  if (scaling.factor < 1.0) return Refuse("rope scaling: factor is below 1");
  scaling.original_max_positions = max_positions;
  if (Find(rope, "original_max_position_embeddings") != nullptr) {
    QUIRE_RETURN_IF_ERROR(
        ReadInt(rope, "original_max_position_embeddings", 1, kMaxContext, scaling.original_max_positions));
  }
  QUIRE_RETURN_IF_ERROR(scaling.kind == RopeScaling::Kind::kYarn ? ReadYarn(rope, scaling)
                                                                 : ReadLlama3(rope, scaling));
  return scaling;
}

absl::StatusOr<RopeScaling> ParseRopeFlag(std::string_view flag) {
  const std::vector<std::string> parts = absl::StrSplit(absl::string_view(flag.data(), flag.size()), ':');
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kYarn;
  if (parts.size() != 3 || parts[0] != "yarn" || !absl::SimpleAtod(parts[1], &scaling.factor) ||
      !absl::SimpleAtoi(parts[2], &scaling.original_max_positions) || !(scaling.factor >= 1.0) ||
      !(scaling.factor <= kMaxRopeFactor) || scaling.original_max_positions < 1 ||
      scaling.original_max_positions > kMaxContext) {
    return absl::InvalidArgumentError(absl::StrCat("--rope-scaling ", std::string(flag),
                                                   " is not of the form yarn:FACTOR:ORIGINAL, for example "
                                                   "yarn:4:32768"));
  }
  scaling.attention_factor = DefaultAttentionFactor(scaling.factor, 1.0);
  return scaling;
}

absl::Status ReadRope(const Json& root, std::string_view flag, ModelConfig& config) {
  int64_t max_positions = 0;
  QUIRE_RETURN_IF_ERROR(ReadInt(root, "max_position_embeddings", 1, kMaxContext, max_positions));
  const Json* rope = Find(root, "rope_parameters");
  const bool newer = rope != nullptr;
  if (!newer) rope = Find(root, "rope_scaling");
  if (rope != nullptr && !rope->is_object()) return Refuse("the rope scaling is not an object");
  QUIRE_RETURN_IF_ERROR(ReadPositiveOr(newer && Find(*rope, "rope_theta") != nullptr ? *rope : root,
                                       "rope_theta", 10000.0, config.rope_theta,
                                       {.least = 1e-3, .most = 1e12}));
  if (config.rope_theta <= 1.0) return Refuse("rope_theta must be above 1");
  RopeScaling scaling;
  if (rope != nullptr) {
    QUIRE_ASSIGN_OR_RETURN(scaling, ReadRopeScaling(*rope, max_positions));
  }
  if (!flag.empty()) {
    if (scaling.kind == RopeScaling::Kind::kLlama3) {
      return absl::InvalidArgumentError("--rope-scaling can't be put on top of a Llama 3 RoPE; leave it out");
    }
    QUIRE_ASSIGN_OR_RETURN(scaling, ParseRopeFlag(flag));
  }
  config.max_context = max_positions;
  if (scaling.kind == RopeScaling::Kind::kYarn) {
    config.max_context =
        static_cast<int64_t>(scaling.factor * static_cast<double>(scaling.original_max_positions));
  }
  if (config.max_context > kernels::kMaxPositions) {
    return Refuse(absl::StrCat("the context of ", config.max_context, " tokens is too long; ",
                               kernels::kMaxPositions,
                               " are supported: lower max_position_embeddings or the "
                               "rope scaling's factor"));
  }
  config.plain_context = config.max_context;
  if (flag.empty()) {
    config.rope = scaling;  // what the checkpoint's own config says holds for every request
  } else {
    config.scaled_rope = scaling;
    config.plain_context = std::min(config.max_context, scaling.original_max_positions);
  }
  return absl::OkStatus();
}

// Dual chunk attention (Qwen2.5-1M) is plain attention within its first chunk and something else beyond it,
// which this program does not compute: the context ends there.
absl::Status LimitToFirstChunk(const Json& root, ModelConfig& config) {
  const Json* dual = Find(root, "dual_chunk_attention_config");
  if (dual == nullptr) return absl::OkStatus();
  if (!dual->is_object()) return Refuse("dual_chunk_attention_config is not an object");
  int64_t chunk = 0, local = 0;
  QUIRE_RETURN_IF_ERROR(ReadInt(*dual, "chunk_size", 1, kMaxContext, chunk));
  QUIRE_RETURN_IF_ERROR(ReadInt(*dual, "local_size", 0, chunk - 1, local));
  config.max_context = std::min(config.max_context, chunk - local);
  config.plain_context = std::min(config.plain_context, config.max_context);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json, std::string_view rope_scaling) {
  const Json root = ParseJsonText(json);
  if (!root.is_object()) return Refuse("it is not a JSON object");
  ModelConfig config;
  QUIRE_ASSIGN_OR_RETURN(config.architecture, ReadArchitecture(root));
  QUIRE_RETURN_IF_ERROR(ReadShape(root, config));
  QUIRE_RETURN_IF_ERROR(CheckUnsupported(root, config));
  QUIRE_RETURN_IF_ERROR(
      ReadPositiveOr(root, "rms_norm_eps", 1e-6, config.rms_eps, {.least = 1e-12, .most = 0.1}));
  QUIRE_RETURN_IF_ERROR(ReadBoolOr(root, "tie_word_embeddings", false, config.tied_embeddings));
  QUIRE_RETURN_IF_ERROR(ReadRope(root, rope_scaling, config));
  QUIRE_RETURN_IF_ERROR(LimitToFirstChunk(root, config));
  return config;
}

}  // namespace quire::worker

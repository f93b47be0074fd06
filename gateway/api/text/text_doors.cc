#include "gateway/api/text/text_doors.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"
#include "gateway/api/chat/chat_request.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/plan.h"
#include "gateway/api/pipeline/sampling_fields.h"
#include "gateway/api/pipeline/token_ids_field.h"
#include "gateway/api/text/declared_text.h"
#include "gateway/text/detokenizer.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;
using Gone = std::function<bool()>;

// What tokenize takes: a text, or a conversation as a chat request has it.
struct Tokenize {
  std::string model;
  Prompt prompt;
  bool add_special_tokens = false;  // before a conversation's ids
  bool return_token_strs = false;
};

ApiResult<ChatPrompt> ReadChat(const json& body, std::string& model) {
  ApiResult<ChatRequest> parsed = ReadChatRequest(body);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  ChatRequest& request = std::get<ChatRequest>(parsed);
  model = std::move(request.sampling.model);
  return std::move(request.prompt);
}

// Whether an answer is to begin: as vLLM says it.
void ReadGenerationPrompt(FieldReader& fields, ChatPrompt& prompt) {
  prompt.generation_prompt = fields.Bool(kGenerationPrompt).value_or(true);
}

ApiResult<Tokenize> ReadConversation(const json& body, FieldReader& fields) {
  Tokenize request;
  ApiResult<ChatPrompt> chat = ReadChat(body, request.model);
  if (auto* error = std::get_if<http::ApiError>(&chat)) return std::move(*error);
  ReadGenerationPrompt(fields, std::get<ChatPrompt>(chat));
  request.prompt = std::get<ChatPrompt>(std::move(chat));
  request.add_special_tokens = fields.Bool(kChatStartToken).value_or(false);
  request.return_token_strs = fields.Bool(kTokenStrings).value_or(false);
  return request;
}

ApiResult<Tokenize> ReadTextToTokenize(FieldReader& fields) {
  Tokenize request;
  request.model = ReadModelName(fields);
  TextPrompt prompt;
  prompt.add_special_tokens = fields.Bool(kStartToken).value_or(true);
  std::optional<std::string> text = fields.String(kTextToTokenize);
  if (!text) fields.Fail(kTextToTokenize, "give a text, or \"messages\" in its place");
  prompt.text = std::move(text).value_or("");
  request.prompt = std::move(prompt);
  request.return_token_strs = fields.Bool(kTokenStrings).value_or(false);
  return request;
}

ApiResult<Tokenize> ReadTokenize(std::string_view body) {
  ApiResult<json> root = ReadBodyObject(body);
  if (auto* error = std::get_if<http::ApiError>(&root)) return std::move(*error);
  const json& object = std::get<json>(root);
  std::optional<http::ApiError> error;
  FieldReader text(object, kTokenizeTextShape, error), chat(object, kTokenizeChatShape, error);
  const bool is_chat = text.Find(kConversation) != nullptr;
  if (is_chat) chat.Refuse(kNotBoth);
  if (error) return *std::move(error);
  ApiResult<Tokenize> read = is_chat ? ReadConversation(object, chat) : ReadTextToTokenize(text);
  if (error) return *std::move(error);
  return read;
}

std::string TokenStrings(const std::vector<TokenId>& ids, const Tokenizer& tokenizer) {
  return absl::StrJoin(ids, ",", [&](std::string* out, TokenId id) {
    absl::StrAppend(out, JsonQuoted(TokenAsText(id, tokenizer)));
  });
}

ApiResult<std::string> AnswerTokenize(const Tokenize& request, const CatalogModel& model, const Gone& gone) {
  ApiResult<std::vector<TokenId>> encoded = EncodePrompt(request.prompt, model, gone);
  if (auto* error = std::get_if<http::ApiError>(&encoded)) return std::move(*error);
  std::vector<TokenId>& ids = std::get<std::vector<TokenId>>(encoded);
  const Tokenizer& tokenizer = model.text->tokenizer();
  if (request.add_special_tokens) {
    ids.insert(ids.begin(), tokenizer.prefix_ids().begin(), tokenizer.prefix_ids().end());
  }
  std::string body = absl::StrCat("{\"count\":", ids.size(), ",\"max_model_len\":", model.fact->max_context(),
                                  ",\"tokens\":[", absl::StrJoin(ids, ","), "]");
  if (request.return_token_strs) {
    absl::StrAppend(&body, ",\"token_strs\":[", TokenStrings(ids, tokenizer), "]");
  }
  return body + "}";
}

std::string PromptBody(std::string_view text) { return absl::StrCat("{\"prompt\":", JsonQuoted(text), "}"); }

std::optional<http::ApiError> CheckIds(const std::vector<TokenId>& ids, const CatalogModel& model) {
  if (ids.size() > model.fact->max_context()) {
    return InvalidField("tokens", absl::StrCat("tokens: give at most ", model.fact->max_context(),
                                               ", as this model's context has"));
  }
  const TokenId vocabulary_size = model.text->tokenizer().vocabulary_size();
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < vocabulary_size) continue;
    const std::string param = absl::StrCat("tokens.", i);
    return InvalidField(param, OutsideVocabulary(param, ids[i], vocabulary_size));
  }
  return std::nullopt;
}

// All of their text, that of special tokens too.
ApiResult<std::string> AnswerDetokenize(const std::vector<TokenId>& ids, const CatalogModel& model,
                                        const Gone& gone) {
  if (auto error = CheckIds(ids, model)) return *std::move(error);
  Detokenizer detokenizer(model.text->tokenizer(), /*skip_special_tokens=*/false);
  std::string text;
  for (const TokenId id : ids) {
    text += detokenizer.Push(id);
    if (text.size() > kMaxDecodedBytes) {
      return InvalidField("tokens",
                          absl::StrCat("tokens: their text has more than ", kMaxDecodedBytes, " bytes"));
    }
  }
  if (gone()) return ClientLeft();
  return PromptBody(text + detokenizer.Flush());
}

}  // namespace

ApiResult<Question> ParseTokenize(std::string_view body) {
  ApiResult<Tokenize> read = ReadTokenize(body);
  if (auto* error = std::get_if<http::ApiError>(&read)) return std::move(*error);
  Question question{.model = std::get<Tokenize>(read).model, .answer = nullptr};
  question.answer = [request = std::get<Tokenize>(std::move(read))](
                        const CatalogModel& model, const Gone& gone) -> ApiResult<std::string> {
    return AnswerTokenize(request, model, gone);
  };
  return question;
}

ApiResult<Question> ParseDetokenize(std::string_view body) {
  ApiResult<json> root = ReadBodyObject(body);
  if (auto* error = std::get_if<http::ApiError>(&root)) return std::move(*error);
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<json>(root), kDetokenizeShape, error);
  Question question{.model = ReadModelName(fields), .answer = nullptr};
  std::vector<TokenId> ids = ReadTokenIds(fields, kTokens);
  if (error) return *std::move(error);
  question.answer = [ids = std::move(ids)](const CatalogModel& model,
                                           const Gone& gone) -> ApiResult<std::string> {
    return AnswerDetokenize(ids, model, gone);
  };
  return question;
}

ApiResult<Question> ParseApplyTemplate(std::string_view body) {
  ApiResult<json> root = ReadBodyObject(body);
  if (auto* error = std::get_if<http::ApiError>(&root)) return std::move(*error);
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<json>(root), kApplyTemplateShape, error);
  Question question;
  ApiResult<ChatPrompt> chat = ReadChat(std::get<json>(root), question.model);
  if (auto* refused = std::get_if<http::ApiError>(&chat)) return std::move(*refused);
  ReadGenerationPrompt(fields, std::get<ChatPrompt>(chat));
  if (error) return *std::move(error);
  question.answer = [prompt = std::get<ChatPrompt>(std::move(chat))](
                        const CatalogModel& model, const Gone& gone) -> ApiResult<std::string> {
    ApiResult<std::string> rendered = RenderPrompt(prompt, *model.text);
    if (auto* refused = std::get_if<http::ApiError>(&rendered)) return std::move(*refused);
    if (gone()) return ClientLeft();
    return PromptBody(std::get<std::string>(rendered));
  };
  return question;
}

}  // namespace quire::gateway

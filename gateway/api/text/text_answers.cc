#include "gateway/api/text/text_answers.h"

#include "gateway/api/openapi/answer_schema.h"

namespace quire::gateway {

void AddTextAnswers(schema::Schema& schemas) {
  schemas["Tokens"] = schema::Object({{"count", schema::Count()},
                                      {"max_model_len", schema::Count()},
                                      {"tokens", schema::List(schema::Count())},
                                      {"token_strs?", schema::List(schema::Text())}});
  schemas["PromptText"] = schema::Object({{"prompt", schema::Text()}});
}

}  // namespace quire::gateway

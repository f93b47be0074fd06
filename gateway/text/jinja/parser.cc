#include "gateway/text/jinja/parser.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::gateway::jinja {
namespace {

constexpr int kMaxBlockDepth = 50;

using StatementPtr = std::unique_ptr<const Statement>;

class TemplateParser {
 public:
  explicit TemplateParser(std::vector<Token> tokens) : cursor_(std::move(tokens)), expressions_(cursor_) {}

  absl::StatusOr<Body> Run() {
    QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
    if (cursor_.Current().kind != TokenKind::kEnd) {
      return cursor_.Error(absl::StrCat("'", cursor_.Current().text, "' closes or continues nothing"));
    }
    return body;
  }

 private:
  // Statements up to the end, or to a tag that is none of a statement's beginnings (endif, else, ...), whose
  // name is then the current token.
  absl::StatusOr<Body> ParseBody() {
    if (++depth_ > kMaxBlockDepth) return cursor_.Error("blocks are nested too deeply");
    Body body;
    while (cursor_.Current().kind != TokenKind::kEnd) {
      const Token token = cursor_.Take();
      if (token.kind == TokenKind::kText) {
        Statement text{StatementKind::kText, token.line};
        text.text = Value::TemplateText(token.text);
        body.push_back(std::make_unique<const Statement>(std::move(text)));
      } else if (token.kind == TokenKind::kOutputBegin) {
        QUIRE_ASSIGN_OR_RETURN(StatementPtr output, Output(token.line));
        body.push_back(std::move(output));
      } else if (Closes(cursor_.Current().text)) {
        break;
      } else {
        QUIRE_ASSIGN_OR_RETURN(StatementPtr statement, Block());
        body.push_back(std::move(statement));
      }
    }
    --depth_;
    return body;
  }

  static bool Closes(const std::string& name) {
    return name == "elif" || name == "else" || name.starts_with("end");
  }

  absl::StatusOr<StatementPtr> Output(int line) {
    Statement output{StatementKind::kOutput, line};
    QUIRE_ASSIGN_OR_RETURN(output.expr, expressions_.Parse());
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOutputEnd, ""));
    return std::make_unique<const Statement>(std::move(output));
  }

  absl::StatusOr<StatementPtr> Block() {
    const int line = cursor_.Current().line;
    QUIRE_ASSIGN_OR_RETURN(const std::string name, cursor_.ExpectName());
    Statement statement{StatementKind::kGroup, line};
    absl::Status status;
    if (name == "if") {
      status = If(statement);
    } else if (name == "for") {
      status = For(statement);
    } else if (name == "set") {
      status = Set(statement);
    } else if (name == "macro") {
      status = Macro(statement);
    } else if (name == "generation") {
      status = LastBranch(statement, "endgeneration");
    } else if (name == "break" || name == "continue") {
      statement.kind = name == "break" ? StatementKind::kBreak : StatementKind::kContinue;
      status = loop_depth_ > 0 ? EndTag() : cursor_.Error(absl::StrCat(name, " stands outside of a loop"));
    } else {
      status = TemplateError(line, absl::StrCat("the tag '", name, "' is not supported"));
    }
    QUIRE_RETURN_IF_ERROR(status);
    return std::make_unique<const Statement>(std::move(statement));
  }

  absl::Status EndTag() { return cursor_.Expect(TokenKind::kBlockEnd, ""); }

  // The body from here to {% end %}, as a branch without a condition.
  absl::Status LastBranch(Statement& statement, std::string_view end) {
    QUIRE_RETURN_IF_ERROR(EndTag());
    QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
    statement.branches.push_back({nullptr, std::move(body)});
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, end));
    return EndTag();
  }

  absl::Status If(Statement& statement) {
    statement.kind = StatementKind::kIf;
    do {
      QUIRE_ASSIGN_OR_RETURN(ExprPtr condition, expressions_.Parse());
      QUIRE_RETURN_IF_ERROR(EndTag());
      QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
      statement.branches.push_back({std::move(condition), std::move(body)});
    } while (cursor_.SkipName("elif"));
    if (cursor_.SkipName("else")) return LastBranch(statement, "endif");
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, "endif"));
    return EndTag();
  }

  absl::Status Targets(Statement& statement) {
    const bool parenthesized = cursor_.SkipOperator("(");
    do {
      QUIRE_ASSIGN_OR_RETURN(std::string target, cursor_.ExpectName());
      statement.targets.push_back(std::move(target));
    } while (cursor_.SkipOperator(","));
    return parenthesized ? cursor_.Expect(TokenKind::kOperator, ")") : absl::OkStatus();
  }

  absl::Status For(Statement& statement) {
    statement.kind = StatementKind::kFor;
    QUIRE_RETURN_IF_ERROR(Targets(statement));
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, "in"));
    QUIRE_ASSIGN_OR_RETURN(statement.expr, expressions_.ParseWithoutCondition());
    if (cursor_.SkipName("if")) {
      QUIRE_ASSIGN_OR_RETURN(statement.condition, expressions_.ParseSingle());
    }
    QUIRE_RETURN_IF_ERROR(EndTag());
    ++loop_depth_;
    QUIRE_ASSIGN_OR_RETURN(Body body, ParseBody());
    --loop_depth_;
    statement.branches.push_back({nullptr, std::move(body)});
    if (cursor_.SkipName("else")) return LastBranch(statement, "endfor");
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kName, "endfor"));
    return EndTag();
  }

  absl::Status Set(Statement& statement) {
    statement.kind = StatementKind::kSet;
    QUIRE_RETURN_IF_ERROR(Targets(statement));
    if (statement.targets.size() == 1 && cursor_.SkipOperator(".")) {
      QUIRE_ASSIGN_OR_RETURN(statement.attribute, cursor_.ExpectName());
    }
    if (cursor_.SkipOperator("=")) {
      QUIRE_ASSIGN_OR_RETURN(statement.expr, expressions_.Parse());
      return EndTag();
    }
    if (statement.targets.size() != 1 || !statement.attribute.empty()) return cursor_.Error("expected '='");
    statement.kind = StatementKind::kSetBlock;
    return LastBranch(statement, "endset");
  }

  absl::Status Macro(Statement& statement) {
    statement.kind = StatementKind::kMacro;
    QUIRE_ASSIGN_OR_RETURN(statement.name, cursor_.ExpectName());
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, "("));
    while (!cursor_.AtOperator(")")) {
      Parameter parameter;
      QUIRE_ASSIGN_OR_RETURN(parameter.name, cursor_.ExpectName());
      if (cursor_.SkipOperator("=")) {
        QUIRE_ASSIGN_OR_RETURN(parameter.default_value, expressions_.ParseSingle());
      }
      statement.parameters.push_back(std::move(parameter));
      if (!cursor_.SkipOperator(",")) break;
    }
    QUIRE_RETURN_IF_ERROR(cursor_.Expect(TokenKind::kOperator, ")"));
    const int outer_loops = std::exchange(loop_depth_, 0);
    const absl::Status status = LastBranch(statement, "endmacro");
    loop_depth_ = outer_loops;
    return status;
  }

  TokenCursor cursor_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int loop_depth_ = 0;
};

}  // namespace

bool TokenCursor::SkipName(std::string_view name) {
  if (!AtName(name)) return false;
  Take();
  return true;
}

bool TokenCursor::SkipOperator(std::string_view op) {
  if (!AtOperator(op)) return false;
  Take();
  return true;
}

absl::Status TokenCursor::Error(std::string_view problem) const {
  return TemplateError(Current().line, problem);
}

absl::Status TokenCursor::Expect(TokenKind kind, std::string_view text) {
  if (!At(kind, text)) {
    const std::string wanted = kind == TokenKind::kBlockEnd    ? "%}"
                               : kind == TokenKind::kOutputEnd ? "}}"
                                                               : std::string(text);
    return Error(absl::StrCat("expected '", wanted, "', found '", Current().text, "'"));
  }
  Take();
  return absl::OkStatus();
}

absl::StatusOr<std::string> TokenCursor::ExpectName() {
  if (Current().kind != TokenKind::kName) {
    return Error(absl::StrCat("expected a name, found '", Current().text, "'"));
  }
  return Take().text;
}

absl::StatusOr<Body> ParseTemplate(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the chat template has more than ", kMaxTemplateBytes, " bytes"));
  }
  QUIRE_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return TemplateParser(std::move(tokens)).Run();
}

}  // namespace quire::gateway::jinja

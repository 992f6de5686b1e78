using Microsoft.Extensions.Options;

namespace Genfence.Extensions.Caching;

/// <summary>Says at start what is wrong. The URL may hold a password, so it is not repeated.</summary>
internal sealed class GenfenceServiceOptionsValidator : IValidateOptions<GenfenceServiceOptions>
{
    public ValidateOptionsResult Validate(string? name, GenfenceServiceOptions options)
    {
        var wrong = new List<string>();
        if (string.IsNullOrWhiteSpace(options.Url))
        {
            wrong.Add("Url: is missing; give memory:// or aerospike://host:port/namespace/set");
        }
        else if (Wrong(options.Url, options) is { } problem)
        {
            wrong.Add(problem);
        }
        if (options.StartTimeout < TimeSpan.Zero || options.StartTimeout > TimeSpan.FromMinutes(10))
        {
            wrong.Add($"StartTimeout: {options.StartTimeout}, must be 0 to 10 min");
        }
        if (!string.IsNullOrEmpty(name))
        {
            wrong = wrong.ConvertAll(problem => $"cache {name}: {problem}");
        }
        return wrong.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(wrong);
    }

    private static string? Wrong(string url, GenfenceServiceOptions options)
    {
        try
        {
            GenfenceCache.Check(url, new GenfenceOptions(options));
            return null;
        }
        catch (GenfenceInvalidException problem) when (problem.Field == "worker_threads")
        {
            return problem.Message.Replace(problem.Field, nameof(options.WorkerThreads), StringComparison.Ordinal);
        }
        catch (GenfenceInvalidException problem) when (problem.Field == "url")
        {
            return "Url" + problem.Message["url".Length..];
        }
        catch (GenfenceInvalidException problem) when (!IsProperty(problem.Field) && !options.Sets(url, problem.Field))
        {
            return $"Url: {problem.Message}";
        }
        catch (GenfenceException problem)
        {
            return problem.Message;
        }
    }

    private static bool IsProperty(string field) => char.IsUpper(field[0]);
}

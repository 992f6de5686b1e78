using Genfence.Native;
using Microsoft.Extensions.Options;

namespace Genfence.Extensions.Caching;

/// <summary>Says at start what is wrong. The URL may hold a password, so it is not repeated.</summary>
internal sealed class GenfenceServiceOptionsValidator : IValidateOptions<GenfenceServiceOptions>
{
    // What the rest of the options is checked with, where the URL is missing.
    private const string AnyUrl = "memory://";

    public ValidateOptionsResult Validate(string? name, GenfenceServiceOptions options)
    {
        var wrong = new List<string>();
        var url = options.Url;
        if (string.IsNullOrWhiteSpace(url))
        {
            wrong.Add("Url: is missing; give memory:// or aerospike://host:port/namespace/set");
            url = AnyUrl;
        }
        // Each for itself, so that all that is wrong is told at once.
        Collect(wrong, url, options, options.Check);
        Collect(wrong, url, options, () => Connection.Check(AnyUrl, options.WorkerThreads, default, null));
        Collect(wrong, url, options, () => Connection.Check(options.In(url), 0, default, options.GetHome()));
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

    private static void Collect(List<string> wrong, string url, GenfenceServiceOptions options, Action check)
    {
        try
        {
            check();
        }
        catch (GenfenceInvalidException problem) when (problem.Field == "worker_threads")
        {
            wrong.Add(problem.Message.Replace(problem.Field, nameof(options.WorkerThreads), StringComparison.Ordinal));
        }
        catch (GenfenceInvalidException problem) when (problem.Field == "url")
        {
            wrong.Add("Url" + problem.Message["url".Length..]);
        }
        catch (GenfenceInvalidException problem) when (!IsProperty(problem.Field) && !options.Sets(url, problem.Field))
        {
            wrong.Add($"Url: {problem.Message}");
        }
        catch (GenfenceException problem)
        {
            wrong.Add(problem.Message);
        }
    }

    private static bool IsProperty(string field) => char.IsUpper(field[0]);
}

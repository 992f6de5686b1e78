using System.Data.Common;
using Genfence;
using Genfence.Extensions.Caching;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Options;

namespace Shop;

internal static class Startup
{
    /// <summary>
    /// Opens the cache and the database before the first request, so that a wrong setting is seen at the start.
    /// </summary>
    /// <returns>Which setting is wrong, and how; null where nothing is.</returns>
    public static async Task<string?> OpenAsync(IServiceProvider services)
    {
        try
        {
            var cache = services.GetRequiredService<GenfenceCache>();
            var options = services.GetRequiredService<IOptions<GenfenceServiceOptions>>().Value;
            if (options.RequireAtStart)
            {
                await cache.ReadyAsync(options.StartTimeout); // Else it may come later.
            }
        }
        catch (OptionsValidationException wrong)
        {
            return string.Join('\n', wrong.Failures.Select(failure => $"Genfence:{failure}"));
        }
        catch (GenfenceInvalidException problem)
        {
            return $"Genfence:Url: {problem.Message}";
        }
        catch (GenfenceException problem)
        {
            return $"Genfence:Url: {problem.Message}; start the server it names, or name another";
        }
        catch (InvalidOperationException wrong) when (wrong.InnerException is FormatException)
        {
            return wrong.Message; // That of the configuration, which names the setting.
        }
        await using var scope = services.CreateAsyncScope();
        var setting = "ConnectionStrings:Postgres or :Sqlite";
        try
        {
            var shop = scope.ServiceProvider.GetRequiredService<ShopContext>();
            setting = shop.Database.IsNpgsql() ? "ConnectionStrings:Postgres" : "ConnectionStrings:Sqlite";
            // A service that lives long migrates instead.
            await shop.Database.EnsureCreatedAsync();
        }
        catch (Exception problem) when (problem is DbException or RetryLimitExceededException or ArgumentException or InvalidOperationException)
        {
            var cause = problem.InnerException as DbException ?? problem;
            return $"{setting}: {cause.Message}; is the database there, and may this user create tables?";
        }
        return null;
    }
}

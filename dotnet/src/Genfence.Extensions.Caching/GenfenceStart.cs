using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Genfence.Extensions.Caching;

/// <summary>Waits for the cache when the host starts, and lets it start without, if that is allowed.</summary>
internal sealed partial class GenfenceStart(Func<GenfenceCache> cache, GenfenceServiceOptions options, ILogger logger)
    : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        // Where it is not to connect in the background, there is none without its cluster.
        var opened = cache();
        try
        {
            await opened.ReadyAsync(options.StartTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (GenfenceStoreException problem) when (!options.RequireAtStart)
        {
            Without(logger, options.Name, problem.Message);
        }
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    [LoggerMessage(9, LogLevel.Warning,
        "the host starts without its cache {Name}, whose reads go to the source until it is there: {Problem}")]
    private static partial void Without(ILogger logger, string name, string problem);
}

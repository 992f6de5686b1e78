using System.Runtime.CompilerServices;
using Genfence.Native;

namespace Genfence;

public sealed partial class GenfenceCache
{
    /// <summary>
    /// The value of a key: from the cache, or from the source, and then the cache is filled. One caller in all
    /// processes reads the source.
    /// </summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="factory">
    /// Reads the source's latest committed state. <see langword="null"/> says that the source has nothing, which is
    /// remembered. An exception goes to the caller, and to those who waited for this load.
    /// </param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once. The factory's token is cancelled once nobody waits for it any more.</param>
    /// <returns>The value; the type's default where the source has nothing.</returns>
    /// <remarks>
    /// <para>
    /// In one process there is one load of a key at a time, and it is for all who came before it began: its value, or its
    /// exception. They wait until it ends, or the option <c>load_time</c> is over, as then another one loads. For another
    /// process's fill a process waits at most for the option <c>wait</c>; then, as in any bypass (a writer holds the key, the
    /// store gives no answer), one of its callers loads for all, and stores nothing. A load whose caller cancelled goes on
    /// while somebody waits for it, so let the factory use nothing that ends with its caller.
    /// </para>
    /// <para>
    /// With <see cref="GenfenceSettings.RefreshAt"/> a value that is near its end is returned at once, and the factory runs in the background,
    /// in one process of all: without the caller's execution context, with a token that is cancelled when the cache is
    /// disposed, and perhaps when the caller is long done. So it must use nothing that ends with its caller, such as a
    /// <c>DbContext</c> of a request: let it create a scope of its own.
    /// </para>
    /// <para>
    /// A value that is too large, that the serializer cannot write, or that the store does not take, is returned all the
    /// same. A cached value that cannot be read as <typeparamref name="T"/> is removed and loaded anew. Either is logged
    /// once for each type.
    /// </para>
    /// </remarks>
    public ValueTask<T?> GetOrFillAsync<T>(
        CacheKey key,
        Func<CancellationToken, ValueTask<T>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return GetOrLoadAsync(key, new PlainLoader<T>(factory), serializer ?? Serializer<T>(), 0, cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="TState">The state's type.</typeparam>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="state">Goes to the factory, so that it need not capture anything.</param>
    /// <param name="factory">Reads the source's latest committed state.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once. The factory's token is cancelled once nobody waits for it any more.</param>
    public ValueTask<T?> GetOrFillAsync<TState, T>(
        CacheKey key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        var loader = new StateLoader<TState, T>(state, factory);
        return GetOrLoadAsync(key, loader, serializer ?? Serializer<T>(), 0, cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="factory">Reads the source's latest committed state, with its version or a time to live.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once. The factory's token is cancelled once nobody waits for it any more.</param>
    [OverloadResolutionPriority(1)] // A lambda that only throws would fit both.
    public ValueTask<T?> GetOrFillAsync<T>(
        CacheKey key,
        Func<CancellationToken, ValueTask<Fresh<T>>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return GetOrLoadAsync(key, new FreshLoader<T>(factory), serializer ?? Serializer<T>(), 0, cancellationToken);
    }

    /// <inheritdoc cref="GetOrFillAsync{T}(CacheKey, Func{CancellationToken, ValueTask{T}}, IGenfenceSerializer{T}, CancellationToken)"/>
    /// <typeparam name="TState">The state's type.</typeparam>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="state">Goes to the factory, so that it need not capture anything.</param>
    /// <param name="factory">Reads the source's latest committed state, with its version or a time to live.</param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">Ends this call at once. The factory's token is cancelled once nobody waits for it any more.</param>
    [OverloadResolutionPriority(1)] // A lambda that only throws would fit both.
    public ValueTask<T?> GetOrFillAsync<TState, T>(
        CacheKey key,
        TState state,
        Func<TState, CancellationToken, ValueTask<Fresh<T>>> factory,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(factory);
        var loader = new FreshStateLoader<TState, T>(state, factory);
        return GetOrLoadAsync(key, loader, serializer ?? Serializer<T>(), 0, cancellationToken);
    }

    /// <summary>
    /// As <c>GetOrFillAsync</c>, but what is loaded only goes to those who wait; and, where it is unread, the cache is not
    /// asked either.
    /// </summary>
    internal ValueTask<T?> GetOrLoadAsync<TState, T>(
        CacheKey key,
        TState state,
        Func<TState, CancellationToken, ValueTask<T>> factory,
        IGenfenceSerializer<T>? serializer,
        bool isUnread,
        CancellationToken cancellationToken) =>
        GetOrLoadAsync(
            key,
            new StateLoader<TState, T>(state, factory),
            serializer ?? Serializer<T>(),
            Flags.Unstored | (isUnread ? Flags.Unread : 0),
            cancellationToken);

    private interface ILoader<T>
    {
        ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation);
    }

    private readonly struct PlainLoader<T>(Func<CancellationToken, ValueTask<T>> load) : ILoader<T>
    {
        public async ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) =>
            new(await load(cancellation).ConfigureAwait(false));
    }

    private readonly struct StateLoader<TState, T>(
        TState state, Func<TState, CancellationToken, ValueTask<T>> load) : ILoader<T>
    {
        public async ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) =>
            new(await load(state, cancellation).ConfigureAwait(false));
    }

    private readonly struct FreshLoader<T>(Func<CancellationToken, ValueTask<Fresh<T>>> load) : ILoader<T>
    {
        public ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) => load(cancellation);
    }

    private readonly struct FreshStateLoader<TState, T>(
        TState state, Func<TState, CancellationToken, ValueTask<Fresh<T>>> load) : ILoader<T>
    {
        public ValueTask<Fresh<T>> LoadAsync(CancellationToken cancellation) => load(state, cancellation);
    }
}
